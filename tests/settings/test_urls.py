"""What stands behind the ``?`` of a URL weakens nothing in production, whatever the libraries would take it for."""

import inspect
import itertools
import ssl
from typing import Any
from urllib.parse import quote

import aiormq
import pytest
from redis.asyncio.connection import URL_QUERY_ARGUMENT_PARSERS, SSLConnection, parse_url

from notification_sender.model.errors import ConfigurationFault
from notification_sender.settings.urls import unencrypted
from tests.settings.test_options import DEVELOPMENT, MAIL, REQUIRED, faults, load

VALUES = ("", "0", "1", "2", "true", "True", "False", "no", "none", "NONE", "optional", "required", "769", "771", "x")


def accepted(variable: str, url: str, **environ: str) -> bool:
    try:
        load(**{variable: url}, **environ)
    except ConfigurationFault:
        return False
    return True


def proves(url: str) -> bool:
    """Whether the library would check, by this URL, whom it talks to."""
    options: dict[str, Any] = dict(parse_url(url))
    made = options.pop("connection_class")(**options).ssl_context
    least = made.min_version or ssl.TLSVersion.TLSv1_2
    return bool(made.cert_reqs == ssl.CERT_REQUIRED and made.check_hostname and least >= ssl.TLSVersion.TLSv1_2)


def test_whatever_of_redis_is_accepted_proves_whom_it_reaches() -> None:
    of_tls = [name for name in inspect.signature(SSLConnection.__init__).parameters if name.startswith("ssl_")]
    assert {"ssl_cert_reqs", "ssl_check_hostname"} <= set(of_tls)
    names = [*of_tls, *URL_QUERY_ARGUMENT_PARSERS, "%73sl_cert_reqs"]
    urls = [f"rediss://redis:6380/0?{name}={value}" for name, value in itertools.product(names, VALUES)]
    taken = [url for url in urls if accepted("NS_REDIS_URL", url)]
    assert [url for url in taken if "ssl_c" in url and not proves(url)] == []
    assert "rediss://redis:6380/0?ssl_cert_reqs=required" in taken
    assert {"rediss://redis:6380/0?ssl_cert_reqs=none"}.isdisjoint(taken)


async def test_whatever_of_rabbitmq_is_accepted_proves_whom_it_reaches() -> None:
    names = ("no_verify_ssl", "%6Eo_verify_ssl", "No_Verify_SSL", "verify", "ssl", "ssl_options", "heartbeat", "name")
    urls = [f"amqps://rabbit/?{name}={value}" for name, value in itertools.product(names, VALUES)]
    taken = [url for url in urls if accepted("NS_AMQP_URL", url)]
    assert "amqps://rabbit/?no_verify_ssl=0" in taken
    assert [url for url in taken if not aiormq.Connection(url).ssl_certs.verify] == []


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("NS_AMQP_URL", "amqps://rabbit/?no_verify_ssl=1"),
        ("NS_AMQP_URL", "amqps://rabbit/?no_verify_ssl=0&no_verify_ssl=1"),
        ("NS_REDIS_URL", "rediss://redis/0?ssl_cert_reqs=none"),
        ("NS_REDIS_URL", "rediss://redis/0?ssl_cert_reqs=required&ssl_cert_reqs=optional"),
        ("NS_REDIS_URL", "rediss://redis/0?ssl_check_hostname=false"),
        ("NS_REDIS_URL", "rediss://redis/0?ssl_min_version=769"),
        ("NS_SMTP_URL", "smtp://mail?starttls=none"),
        ("NS_SMTP_URL", "smtp://mail?starttls=n%6fne"),
    ],
)
def test_what_weakens_tls_is_a_switch_of_development(variable: str, url: str) -> None:
    said = faults(REQUIRED | MAIL | {variable: url})[variable]
    assert "NS_ENVIRONMENT=development" in said
    assert url.partition("?")[2].partition("=")[0] in said
    assert load(**MAIL | {variable: url} | DEVELOPMENT)


@pytest.mark.parametrize(
    ("variable", "url", "advice"),
    [
        ("NS_AMQP_URL", "amqps://rabbit/?no_verify_sll=1", "did you mean ?no_verify_ssl=?"),
        ("NS_AMQP_URL", "amqps://rabbit/?ca_file=/ca.pem", "did you mean ?cafile=?"),
        ("NS_AMQP_URL", "amqp://rabbit/?cafile=/ca.pem", "needs amqps://"),
        ("NS_AMQP_URL", "amqp://rabbit/?heartbeat=0", "?heartbeat="),
        ("NS_REDIS_URL", "rediss://redis/0?ssl_certreqs=none", "did you mean ?ssl_cert_reqs=?"),
        ("NS_REDIS_URL", "redis://redis/0?ssl_ca_certs=/ca.pem", "needs rediss://"),
        ("NS_REDIS_URL", "redis://redis/0?decode_responses=1", "it takes"),
        ("NS_SMTP_URL", "smtp://mail?startls=none", "did you mean ?starttls=?"),
    ],
)
def test_an_option_that_is_not_known_is_refused_with_what_was_meant(variable: str, url: str, advice: str) -> None:
    for environment in ({}, DEVELOPMENT):
        assert advice in faults(REQUIRED | MAIL | environment | {variable: url})[variable]


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        (
            "NS_AMQP_URL",
            "amqps://u:p@rabbit:5671/v?cafile=/ca.pem&certfile=/c.pem&keyfile=/k.pem&heartbeat=20&timeout=5",
        ),
        ("NS_REDIS_URL", "rediss://redis:6380/0?ssl_ca_certs=/ca.pem&ssl_check_hostname=true&ssl_min_version=772"),
        ("NS_REDIS_URL", "redis://redis?db=3&username=worker&password=" + quote("a b?")),
        ("NS_SMTP_URL", "smtp://mail?starttls=required"),
    ],
)
def test_what_strengthens_or_only_names_is_accepted(variable: str, url: str) -> None:
    assert load(**MAIL | {variable: url})


@pytest.mark.parametrize(
    ("url", "open_"),
    [
        ("amqp://rabbit/", True),
        ("amqps://rabbit/", False),
        ("redis://10.0.0.1:6379/0", True),
        ("rediss://redis/0", False),
        ("http://incidents.internal", True),
        ("https://incidents.internal", False),
        ("smtp://mail?starttls=none", True),
        ("smtp://mail", False),
        ("smtps://mail", False),
        ("memory://", False),
        *(
            (f"amqp://{host}/", False)
            for host in ("localhost", "127.0.0.1", "127.8.8.8", "[::1]", "[::ffff:127.0.0.1]")
        ),
        ("amqp://localhost.example/", True),
        ("amqp://0.0.0.0/", True),
    ],
)
def test_what_can_be_read_on_the_way_is_known(url: str, open_: bool) -> None:  # noqa: FBT001 - a parameter
    assert unencrypted(url) is open_


def test_each_service_in_the_open_is_named_once() -> None:
    said = load(NS_AMQP_URL="amqp://127.0.0.1/").in_the_open()
    assert said == ["NS_REDIS_URL", "NS_INCIDENTS_URL", "NS_INTEL_REQUESTS_URL", "NS_ASSETS_URL"]
