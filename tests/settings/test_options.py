import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from notification_sender.cli.settings import page
from notification_sender.model.errors import ConfigurationFault
from notification_sender.policy.limits import Limit
from notification_sender.policy.nat64 import Nat64Prefix
from notification_sender.policy.networks import AllowedNetwork
from notification_sender.policy.retry import Schedule
from notification_sender.settings import Settings
from notification_sender.settings.constraints import RELATIONS
from notification_sender.settings.formats import redacted
from notification_sender.settings.loading import secrets, variables
from notification_sender.settings.tls import FILES

CANARY = "hunter2canary"
HERE = str(Path(__file__).parent)
REQUIRED = {
    "NS_AMQP_URL": f"amqp://worker:{CANARY}@rabbit:5672/vhost",
    "NS_REDIS_URL": f"redis://:{CANARY}@redis:6379/0",
    "NS_INCIDENTS_URL": "http://incidents.internal",
    "NS_INTEL_REQUESTS_URL": "http://intel.internal",
    "NS_ASSETS_URL": "http://assets.internal",
    "NS_AAA_URL": "https://aaa.internal",
    "NS_GEOCODING_URL": "https://geo.example",
    "NS_AAA_CLIENT_ID": "worker",
    "NS_AAA_CLIENT_SECRET": CANARY,
}
MAIL = {"NS_SMTP_URL": "smtp://mail:587", "NS_EMAIL_FROM": "NOC <noc@example.com>"}
DEVELOPMENT = {"NS_ENVIRONMENT": "development"}


def load(**environ: str) -> Settings:
    return Settings.load(REQUIRED | environ)


def faults(environ: dict[str, str]) -> dict[str, str]:
    """What is said of each variable."""
    with pytest.raises(ConfigurationFault) as refusal:
        Settings.load(environ)
    first, *lines = str(refusal.value).splitlines()
    said = dict(line.strip().split(": ", 1) for line in lines)
    assert first == f"{len(said)} fault{'s' * (len(said) > 1)} in the configuration:"
    return said


APIS = ("AAA", "INCIDENTS", "INTEL_REQUESTS", "ASSETS", "GEOCODING")

DEFAULTS = {
    "environment": "production",
    "accept_eviction": None,
    "topology_prefix": "notification-sender",
    "events": "on",
    "traces": "off",
    "redis_prefix": None,
    "units_queue": None,
    "smtp_url": None,
    "email_from": None,
    "email_helo": None,
    "email_on_unknown": "resend",
    "secrets_dir": None,
    "shared_secrets": frozenset(),
    "unsigned": "allow",
    "ca_dir": None,
    **dict.fromkeys(FILES),
    "templates_dir": None,
    "concurrency": 200,
    "processes": 1,
    "max_destinations": 10_000,
    "organization_share": 0.5,
    "destination_share": 0.25,
    "throttle_webhook": Limit("webhook", 100_000, 60),
    "throttle_email": Limit("email", 100_000, 60),
    "throttle_horizon": 3600.0,
    "disable_after": 432_000.0,
    "retry_schedule_webhook": None,
    "retry_schedule_email": None,
    "delivery_max_age": 604_800.0,
    "max_distance": 5,
    "current_incidents": "auto",
    "allowed_cidrs": (),
    "nameservers": (),
    "nat64_prefixes": (),
    "webhook_ports": frozenset({443, 8443}),
    **{f"{api.lower()}_budget": None for api in APIS},
    "api_timeout": 10.0,
    "api_objective": 1.0,
    "gather_timeout": 20.0,
    "send_timeout": 15.0,
    "lease": 30.0,
    "max_age": 86_400.0,
    "story_ttl": None,
    "ledger_ttl": 604_800.0,
    "grace": 25.0,
    "http_host": "0.0.0.0",
    "http_port": 8080,
    "liveness": 30.0,
    "metrics_top_organizations": 20,
    "status": "loopback",
    "log_format": "json",
    "log_level": "info",
    "event_loop": "uvloop",
}


def test_what_is_required_is_enough_and_the_rest_has_its_documented_default() -> None:
    settings = load()
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert settings.retry_schedule.delays == (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)


ACCEPTED = [
    ("NS_ENVIRONMENT", "development", "development"),
    ("NS_ACCEPT_EVICTION", "allkeys-lru", "allkeys-lru"),
    ("NS_TOPOLOGY_PREFIX", "fleet-2", "fleet-2"),
    ("NS_UNITS_QUEUE", "their.queue", "their.queue"),
    ("NS_MAX_DESTINATIONS", "50", 50),
    ("NS_INCIDENTS_URL", "http://10.0.0.1:8000/v1/", "http://10.0.0.1:8000/v1"),
    ("NS_INCIDENTS_URL", "http://mu\u0308ller.example:8000/", "http://xn--mller-kva.example:8000"),
    ("NS_INCIDENTS_URL", "https://xn--ls8h.example/", "https://xn--ls8h.example"),
    ("NS_INTEL_REQUESTS_URL", "https://[::1]:8443", "https://[::1]:8443"),
    ("NS_ASSETS_URL", "http://assets", "http://assets"),
    ("NS_AAA_URL", "https://aaa/", "https://aaa"),
    ("NS_GEOCODING_URL", "https://nominatim.example/api", "https://nominatim.example/api"),
    ("NS_AAA_CLIENT_ID", "other", "other"),
    ("NS_EMAIL_HELO", "mail.example.com", "mail.example.com"),
    ("NS_EMAIL_HELO", "[192.0.2.1]", "[192.0.2.1]"),
    ("NS_EMAIL_ON_UNKNOWN", "hold", "hold"),
    ("NS_EVENTS", "off", "off"),
    ("NS_TRACES", "on", "on"),
    ("NS_SECRETS_DIR", HERE, Path(HERE)),
    ("NS_SHARED_SECRETS", " noc, hook-1,", frozenset({"noc", "hook-1"})),
    ("NS_SHARED_SECRETS", "*", frozenset({"*"})),
    ("NS_UNSIGNED", "refuse", "refuse"),
    ("NS_CA_DIR", HERE, Path(HERE)),
    ("NS_TEMPLATES_DIR", HERE, Path(HERE)),
    ("NS_CONCURRENCY", "1", 1),
    ("NS_CONCURRENCY", "10000", 10_000),
    ("NS_PROCESSES", "64", 64),
    ("NS_THROTTLE_WEBHOOK", "off", None),
    ("NS_THROTTLE_EMAIL", "10/second", Limit("email", 100_000, 1)),
    ("NS_THROTTLE_HORIZON", "5m", 300.0),
    ("NS_DISABLE_AFTER", "3d", 259_200.0),
    ("NS_RETRY_SCHEDULE_WEBHOOK", "5s 1h", Schedule((5.0, 3600.0))),
    ("NS_RETRY_SCHEDULE_EMAIL", "1h", Schedule((3600.0,))),
    ("NS_DELIVERY_MAX_AGE", "2h", 7200.0),
    ("NS_MAX_DISTANCE", "1", 1),
    *((f"NS_{api}_BUDGET", "40", 40) for api in APIS),
    ("NS_MAX_DISTANCE", "10", 10),
    ("NS_CURRENT_INCIDENTS", "on", "on"),
    ("NS_ALLOWED_CIDRS", "127.0.0.0/8, ::1/128", tuple(map(AllowedNetwork.parse, ["127.0.0.0/8", "::1/128"]))),
    (
        "NS_NAT64_PREFIXES",
        "2001:db8:64::/96, fd00::/32",
        tuple(map(Nat64Prefix.parse, ["2001:db8:64::/96", "fd00::/32"])),
    ),
    ("NS_ALLOWED_CIDRS", "10.0.0.0/8:443=org-a", (AllowedNetwork.parse("10.0.0.0/8:443=org-a"),)),
    (
        "NS_NAMESERVERS",
        "10.0.0.2, 10.0.0.3:5353,[fd00::2]:54,::1",
        ("10.0.0.2:53", "10.0.0.3:5353", "[fd00::2]:54", "[::1]:53"),
    ),
    ("NS_WEBHOOK_PORTS", "443,9443 ,10443", frozenset({443, 9443, 10443})),
    ("NS_API_TIMEOUT", "20s", 20.0),
    ("NS_API_OBJECTIVE", "250ms", 0.25),
    ("NS_GATHER_TIMEOUT", "10s", 10.0),
    ("NS_SEND_TIMEOUT", "250ms", 0.25),
    ("NS_LEASE", "16s", 16.0),
    ("NS_MAX_AGE", "1.5h", 5400.0),
    ("NS_STORY_TTL", "36h", 129_600.0),
    ("NS_LEDGER_TTL", "30d", 2_592_000.0),
    ("NS_GRACE", "16s", 16.0),
    ("NS_HTTP_HOST", "127.0.0.1", "127.0.0.1"),
    ("NS_HTTP_PORT", "0", 0),
    ("NS_HTTP_PORT", "65535", 65_535),
    ("NS_STATUS", "open", "open"),
    ("NS_LOG_FORMAT", "text", "text"),
    ("NS_LOG_LEVEL", "debug", "debug"),
    ("NS_EVENT_LOOP", "asyncio", "asyncio"),
]


@pytest.mark.parametrize(("name", "text", "value"), ACCEPTED)
def test_a_value_is_understood(name: str, text: str, value: object) -> None:
    assert getattr(load(**{name: text}), name.removeprefix("NS_").lower()) == value


def test_a_retry_schedule_is_understood() -> None:
    assert load(NS_RETRY_SCHEDULE="100ms 2s").retry_schedule.delays == (0.1, 2.0)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("NS_AMQP_URL", "amqps://u:p%2Fw@host/%2F"),
        ("NS_REDIS_URL", "rediss://host"),
        ("NS_SMTP_URL", "smtps://u:p@host"),
        ("NS_SMTP_URL", "smtp://host:25?starttls=required"),
    ],
)
def test_a_url_with_a_password_is_kept_whole(name: str, url: str) -> None:
    settings = Settings.load(REQUIRED | MAIL | {name: url})
    assert getattr(settings, name.removeprefix("NS_").lower()).get_secret_value() == url


@pytest.mark.parametrize(
    ("name", "url", "dialled"),
    [
        ("NS_AMQP_URL", "amqps://ü:ö@mu\u0308ller.example/%2F", "amqps://ü:ö@xn--mller-kva.example/%2F"),
        ("NS_REDIS_URL", "rediss://straße.example:6380/1", "rediss://xn--strae-oqa.example:6380/1"),
        ("NS_SMTP_URL", "smtps://u:p@xn--ls8h.example", "smtps://u:p@xn--ls8h.example"),
        ("NS_SMTP_URL", "smtp://💩.example:25?starttls=required", "smtp://xn--ls8h.example:25?starttls=required"),
    ],
)
def test_the_host_of_a_url_is_read_by_uts_46(name: str, url: str, dialled: str) -> None:
    settings = Settings.load(REQUIRED | MAIL | {name: url})
    assert getattr(settings, name.removeprefix("NS_").lower()).get_secret_value() == dialled


REFUSED = [
    ("NS_INCIDENTS_URL", "https://a\u200db.example", "UTS 46"),
    ("NS_REDIS_URL", "rediss://u:secret@a\u200db.example", "UTS 46"),
    ("NS_ENVIRONMENT", "staging", "production"),
    ("NS_AMQP_URL", "http://rabbit", "amqp://"),
    ("NS_AMQP_URL", "amqp://", "no host"),
    ("NS_AMQP_URL", "amqp://u:pa/ss@rabbit", "%2F"),
    ("NS_AMQP_URL", "memory://", "NS_ENVIRONMENT=development"),
    ("NS_REDIS_URL", "redis:6379", "redis://"),
    ("NS_REDIS_URL", "redis+sentinel://a,b/main", "not supported yet"),
    ("NS_REDIS_URL", "redis+cluster://a,b", "not supported yet"),
    ("NS_REDIS_URL", "memory://", "NS_ENVIRONMENT=development"),
    ("NS_ACCEPT_EVICTION", "yes please", "pattern"),
    ("NS_TOPOLOGY_PREFIX", "my fleet", "pattern"),
    ("NS_REDIS_PREFIX", "my fleet", "pattern"),
    ("NS_UNITS_QUEUE", "a/b", "pattern"),
    ("NS_INCIDENTS_URL", "incidents.internal", "http://"),
    ("NS_INTEL_REQUESTS_URL", "https://", "no host"),
    ("NS_ASSETS_URL", "ftp://assets", "http://"),
    ("NS_AAA_URL", "https://user:pw@aaa", "without user"),
    ("NS_GEOCODING_URL", "https://geo/?key=1", "and query"),
    ("NS_GEOCODING_URL", "https://geo:99999", "URL"),
    ("NS_SMTP_URL", "mail:25", "smtp://"),
    ("NS_SMTP_URL", "smtp://mail?tls=1", "starttls=required"),
    ("NS_SMTP_URL", "smtp://mail?starttls=none", "NS_ENVIRONMENT=development"),
    ("NS_EMAIL_FROM", "noc", "mail address"),
    ("NS_EMAIL_HELO", "worker", "full host name"),
    ("NS_EMAIL_HELO", "a.example x", "full host name"),
    ("NS_EMAIL_ON_UNKNOWN", "drop", "resend"),
    ("NS_EVENTS", "some", "off"),
    ("NS_TRACES", "some", "off"),
    ("NS_SECRETS_DIR", "/does/not/exist", "no directory '/does/not/exist'"),
    ("NS_SECRETS_DIR", __file__, f"{__file__!r} is not a directory"),
    *(("NS_SHARED_SECRETS", text, "is not a name") for text in ("../x", "a b", "a,.", "no*", "x" * 129)),
    ("NS_UNSIGNED", "maybe", "refuse"),
    ("NS_CA_DIR", "/does/not/exist", "directory"),
    *((f"NS_{name.upper()}", "/does/not/exist", "there is no file '/does/not/exist'") for name in FILES),
    *(("NS_WEBHOOK_PORTS", text, "is not a port") for text in ("https", "0", "65536", "443-500", "443 8443", "٣")),
    ("NS_WEBHOOK_PORTS", ",", "names no port"),
    ("NS_TEMPLATES_DIR", "/does/not/exist", "directory"),
    ("NS_CONCURRENCY", "0", "1"),
    ("NS_CONCURRENCY", "10001", "10000"),
    ("NS_ORGANIZATION_SHARE", "0", "greater than 0"),
    ("NS_DESTINATION_SHARE", "1.1", "less than or equal to 1"),
    ("NS_CONCURRENCY", "many", "integer"),
    ("NS_PROCESSES", "65", "not a number from 1 to 64, nor auto"),
    ("NS_PROCESSES", "many", "not a number from 1 to 64, nor auto"),
    ("NS_THROTTLE_WEBHOOK", "fast", "600/minute"),
    ("NS_THROTTLE_EMAIL", "0/minute", "600/minute"),
    ("NS_THROTTLE_HORIZON", "1", "duration"),
    ("NS_DISABLE_AFTER", "5", "duration"),
    ("NS_RETRY_SCHEDULE", "5s then 5m", "duration"),
    ("NS_RETRY_SCHEDULE", " ", "empty schedule"),
    ("NS_RETRY_SCHEDULE_WEBHOOK", "soon", "duration"),
    ("NS_RETRY_SCHEDULE_EMAIL", " ", "empty schedule"),
    ("NS_DELIVERY_MAX_AGE", "long", "duration"),
    ("NS_MAX_DISTANCE", "0", "1"),
    *((f"NS_{api}_BUDGET", "0", "1") for api in APIS),
    ("NS_MAX_DISTANCE", "11", "10"),
    ("NS_CURRENT_INCIDENTS", "yes", "auto"),
    ("NS_ALLOWED_CIDRS", "127.0.0.1/8", "host bits"),
    ("NS_ALLOWED_CIDRS", "intranet", "intranet"),
    ("NS_ALLOWED_CIDRS", "10.0.0.0/8:0=org-a", "0"),
    ("NS_NAT64_PREFIXES", "2001:db8::/80", "32, 40, 48, 56, 64 or 96 bits"),
    ("NS_NAT64_PREFIXES", "2001:db8::1/96", "host bits"),
    ("NS_NAT64_PREFIXES", "10.0.0.0/8", "10.0.0.0"),
    ("NS_NAT64_PREFIXES", "2001:db8:0:0:100::/96", "bits 64 to 71"),
    ("NS_NAMESERVERS", "ns.example", "is not an IP address"),
    ("NS_NAMESERVERS", "10.0.0.2:70000", "is not a port"),
    ("NS_API_TIMEOUT", "0s", "between"),
    ("NS_API_OBJECTIVE", "soon", "duration"),
    ("NS_GATHER_TIMEOUT", "-1s", "duration"),
    ("NS_SEND_TIMEOUT", "15", "duration"),
    ("NS_LEASE", "forever", "duration"),
    ("NS_MAX_AGE", "366d", "365d"),
    ("NS_STORY_TTL", "short", "duration"),
    ("NS_LEDGER_TTL", "week", "duration"),
    ("NS_GRACE", "1min", "duration"),
    ("NS_MAX_DESTINATIONS", "0", "1"),
    ("NS_LIVENESS", "4s", "greater than or equal to 5"),
    ("NS_METRICS_TOP_ORGANIZATIONS", "501", "500"),
    ("NS_HTTP_PORT", "65536", "65535"),
    ("NS_HTTP_PORT", "-1", "0"),
    ("NS_STATUS", "yes", "loopback"),
    ("NS_LOG_FORMAT", "xml", "json"),
    ("NS_LOG_LEVEL", "loud", "debug"),
    ("NS_EVENT_LOOP", "trio", "asyncio"),
]


@pytest.mark.parametrize(("name", "text", "said"), REFUSED)
def test_a_value_is_refused_and_the_message_helps(name: str, text: str, said: str) -> None:
    found = faults(REQUIRED | MAIL | {name: text})
    assert found.keys() == {name}
    assert said in found[name]


def test_every_variable_stands_in_these_tables() -> None:
    assert {f"NS_{name.upper()}" for name in DEFAULTS} | REQUIRED.keys() | {"NS_RETRY_SCHEDULE"} == variables().keys()
    free_text = {"NS_AAA_CLIENT_ID", "NS_AAA_CLIENT_SECRET", "NS_HTTP_HOST"}
    assert {row[0] for row in REFUSED} | free_text == variables().keys()


def test_all_that_is_missing_is_named_at_once() -> None:
    assert {name for name, said in faults({}).items() if said.startswith("is missing")} == REQUIRED.keys()


def test_what_is_missing_is_said_in_a_line_that_stands_by_itself() -> None:
    for said in faults({}).values():
        assert len(said) < 90
        assert len(said.split()) > 4


def test_an_empty_variable_is_not_set() -> None:
    assert load(NS_SMTP_URL="", NS_GRACE="").grace == 25.0
    assert faults(REQUIRED | {"NS_AAA_URL": ""})["NS_AAA_URL"].startswith("is missing")


def test_missing_invalid_unknown_and_unrelated_are_reported_in_one_message() -> None:
    environ = REQUIRED | {"NS_CONCURENCY": "8", "NS_HTTP_PORT": "x", "NS_GRACE": "10s", "NS_EMAIL_FROM": "a@b.example"}
    del environ["NS_AAA_URL"]
    found = faults(environ)
    assert found.keys() == {"NS_AAA_URL", "NS_CONCURENCY", "NS_HTTP_PORT", "NS_GRACE", "NS_EMAIL_FROM"}


# --- relations


@pytest.mark.parametrize(
    ("name", "text", "other"),
    [
        ("NS_LEASE", "15s", "NS_SEND_TIMEOUT (15s)"),
        ("NS_GRACE", "15s", "NS_SEND_TIMEOUT (15s)"),
        ("NS_GATHER_TIMEOUT", "9s", "NS_API_TIMEOUT (10s)"),
        ("NS_LEDGER_TTL", "25h", "NS_RETRY_SCHEDULE (95040s)"),
    ],
)
def test_a_span_that_must_be_longer_than_another_is(name: str, text: str, other: str) -> None:
    assert other in faults(REQUIRED | {name: text})[name]


def test_every_channels_schedule_is_remembered_to_its_end() -> None:
    said = faults(REQUIRED | {"NS_RETRY_SCHEDULE_EMAIL": "1h 10d"})["NS_LEDGER_TTL"]
    assert "NS_RETRY_SCHEDULE_EMAIL (950400s)" in said


def test_how_a_delivery_came_about_is_not_remembered_longer_than_the_delivery() -> None:
    assert "NS_STORY_TTL (777600s)" in faults(REQUIRED | {"NS_STORY_TTL": "9d"})["NS_LEDGER_TTL"]
    brief = {"NS_LEDGER_TTL": "27h"}  # less than the story has where nobody says anything: it is cut, and no fault
    assert Settings.load(REQUIRED | brief).story_ttl is None
    assert Settings.load(REQUIRED | brief | {"NS_STORY_TTL": "27h"}).story_ttl == 97_200.0


def test_every_relation_stands_below_what_it_is_compared_with() -> None:
    order = list(Settings.model_fields)
    assert all(order.index(it.other) < order.index(it.option) for it in RELATIONS)


def test_nothing_is_concluded_from_an_option_that_is_itself_at_fault() -> None:
    assert faults(REQUIRED | {"NS_SEND_TIMEOUT": "1", "NS_GRACE": "1s"}).keys() == {"NS_SEND_TIMEOUT"}


@pytest.mark.parametrize("alone", MAIL)
def test_a_mail_server_and_a_sender_come_together(alone: str) -> None:
    assert "NS_SMTP_URL" in faults(REQUIRED | {alone: MAIL[alone]})["NS_EMAIL_FROM"]


def test_development_may_use_memory_and_plain_mail() -> None:
    memory = {"NS_AMQP_URL": "memory://", "NS_REDIS_URL": "memory://", "NS_SMTP_URL": "smtp://mail:25?starttls=none"}
    settings = Settings.load(REQUIRED | MAIL | DEVELOPMENT | memory)
    assert (settings.amqp_url.scheme, settings.redis_url.scheme) == ("memory", "memory")


# --- names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("NS_CONCURENCY", "NS_CONCURRENCY"),
        ("NS_HTPP_PORT", "NS_HTTP_PORT"),
        ("NS_amqp_url", "NS_AMQP_URL"),
        ("NS_AMQP_URL_FIEL", "NS_AMQP_URL_FILE"),
        ("NS_CONCURRENCY_FILE", "NS_CONCURRENCY"),
    ],
)
def test_an_unknown_variable_is_a_fault_that_names_the_one_that_was_meant(name: str, meant: str) -> None:
    assert faults(REQUIRED | {name: "8"}) == {name: f"is unknown; did you mean {meant}?"}


def test_what_kubernetes_injects_for_a_service_is_left_alone() -> None:
    injected = {
        "NS_SERVICE_HOST": "10.0.0.1",
        "NS_WEB_SERVICE_HOST": "10.0.0.1",
        "NS_WEB_SERVICE_PORT": "80",
        "NS_WEB_SERVICE_PORT_HTTP": "80",
        "NS_WEB_PORT": "tcp://10.0.0.1:80",
        "NS_WEB_PORT_80_TCP": "tcp://10.0.0.1:80",
        "NS_WEB_PORT_80_TCP_PROTO": "tcp",
        "NS_WEB_PORT_80_TCP_PORT": "80",
        "NS_WEB_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert load(**injected) == load()


def test_a_service_called_ns_http_does_not_set_our_port() -> None:
    assert load(NS_HTTP_PORT="tcp://10.0.0.1:80").http_port == 8080


def test_variables_of_others_are_none_of_our_business() -> None:
    assert load(PATH="/bin", ns_lease="1s", MY_NS_LEASE="1s") == load()


# --- secrets


@pytest.mark.parametrize(
    ("text", "secret"), [("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), ("a\n\n", "a\n"), ("b", "b")]
)
def test_a_secret_is_read_from_a_file_without_its_last_newline(tmp_path: Path, text: str, secret: str) -> None:
    (tmp_path / "it").write_bytes(text.encode())
    environ = REQUIRED | {"NS_AAA_CLIENT_SECRET_FILE": str(tmp_path / "it")}
    del environ["NS_AAA_CLIENT_SECRET"]
    assert Settings.load(environ).aaa_client_secret.get_secret_value() == secret


def test_the_four_secrets_may_be_files() -> None:
    assert secrets() == {"NS_AMQP_URL", "NS_REDIS_URL", "NS_AAA_CLIENT_SECRET", "NS_SMTP_URL"}


def test_a_secret_given_twice_or_unreadable_or_empty_is_a_fault_without_echo(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    files = {
        "NS_AMQP_URL_FILE": HERE,
        "NS_REDIS_URL_FILE": str(tmp_path / "empty"),
        "NS_SMTP_URL_FILE": str(tmp_path / "none"),
        "NS_AAA_CLIENT_SECRET_FILE": str(tmp_path / "binary"),
    }
    environ = {name: value for name, value in REQUIRED.items() if f"{name}_FILE" not in files}
    found = faults(environ | files | {"NS_EMAIL_FROM": "a@b.example"})
    assert found.keys() == {"NS_AMQP_URL", "NS_REDIS_URL", "NS_SMTP_URL", "NS_AAA_CLIENT_SECRET"}
    assert "No such file" in found["NS_SMTP_URL"]
    assert "twice" in faults(REQUIRED | files)["NS_AMQP_URL"]


def test_no_secret_is_ever_shown() -> None:
    settings = load(NS_SMTP_URL=f"smtp://u:{CANARY}@mail:587", NS_EMAIL_FROM="a@b.example")
    shown = f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()} {settings.effective()}"
    assert CANARY not in shown
    assert settings.effective()["NS_AMQP_URL"] == "amqp://worker:***@rabbit:5672/vhost"
    assert settings.effective()["NS_SMTP_URL"] == "smtp://u:***@mail:587"


@pytest.mark.parametrize("name", sorted(secrets()))
@pytest.mark.parametrize("form", ["{}", "amqp//{}", "http://u:{}@host", "amqp://u:{}/x@host", "redis://h:{}"])
def test_no_fault_repeats_a_secret(name: str, form: str) -> None:
    with pytest.raises(ConfigurationFault) as refusal:
        Settings.load({name: form.format(CANARY)})
    assert CANARY not in str(refusal.value)
    assert refusal.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://user:pw@host/vhost", "amqp://user:***@host/vhost"),
        ("redis://token@host/0", "redis://***@host/0"),
        ("redis://host/0?password=pw", "redis://host/0?***"),
        ("amqp://host", "amqp://host"),
        ("amqp://user:p@ss@host", "amqp://user:***@host"),
        ("amqp://user:p/w@host", "***"),
        ("amqp://user:1/w@host", "***"),
        ("amqp://user:1?w@host", "***"),
        ("amqp://user:1#w@host", "***"),
        ("amqp://user:[pw@host", "***"),
        ("memory://", "memory://"),
    ],
)
def test_a_url_is_shown_without_what_may_be_a_password(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_effective_values_stand_as_they_were_written() -> None:
    effective = load(NS_LEASE="1m").effective()
    assert effective.keys() == variables().keys()
    assert (effective["NS_LEASE"], effective["NS_GRACE"], effective["NS_SMTP_URL"]) == ("1m", "25s", "")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().concurrency = 1  # type: ignore[misc]


def test_no_dotenv_file_is_read_and_no_environment_behind_our_back(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NS_CONCURRENCY=7\nNS_LOG_LEVEL=debug\n")
    program = (
        "from notification_sender.settings import Settings; import json, sys; "
        "it = Settings.load(json.loads(sys.argv[1])); print(it.concurrency, it.log_level)"
    )
    ran = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program, json.dumps(REQUIRED)],
        cwd=tmp_path,
        env={**os.environ, "NS_CONCURRENCY": "9"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["200", "info"]


def test_the_reference_page_is_current() -> None:
    written = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
    assert written.read_text() == page() + "\n", "run: make docs"
