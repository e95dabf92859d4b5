import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from notification_sender import sandbox
from notification_sender.adapters.redis.operators import Trouble
from notification_sender.app.destinations import SwitchResult
from notification_sender.cli.check import _table
from notification_sender.cli.program import program
from notification_sender.model.errors import ConfigurationFault, RenderFault, Unready
from notification_sender.policy.audit import Audit, RecordedOutcome, audit
from tests.cli.stand_in import App, Command

UNIT = {"work_unit_id": "w1", "organization_id": "o1", "incident_id": "i1"}
COMMANDS = (
    "run",
    "demo",
    "check",
    "dead",
    "destinations",
    "suppressions",
    "settings",
    "topology",
    "publish",
    "render",
    "explain-plan",
    "explain",
    "cache",
    "orgs",
    "erase",
    "canary",
    "snapshot",
    "replay-context",
    "audit",
    "pause",
    "resume",
    "throttle",
    "circuits",
    "retry",
    "status",
    "why",
    "eta",
    "top",
    "pods",
    "slo",
)
CONFIGURED = ("run", "check", "settings", "topology", "publish /dev/null", "audit --batch b", "why", "pods")
HEAVY = {"pydantic", "aio_pika", "aiohttp", "redis", "jinja2", "orjson", "rich"}


def test_every_command_is_offered_and_documented(command: Command) -> None:
    said = command("--help").out
    page = (Path(__file__).parents[2] / "docs" / "reference" / "commands.md").read_text()
    offered = {it.callback.__name__.replace("_", "-") for it in program.registered_commands}
    offered |= {str(it.name) for it in program.registered_groups}
    assert offered == set(COMMANDS)
    assert all(f"  {name} " in said and f"## {name}\n" in page for name in COMMANDS)


@pytest.mark.parametrize("line", ["", "dead", "destinations", "suppressions", "cache", "throttle", "circuits"])
def test_no_line_of_a_list_of_commands_is_cut_off(command: Command, line: str) -> None:
    assert "..." not in command(*line.split(), "--help").out.partition("Commands:")[2]


@pytest.mark.parametrize("line", ["publish", "suppressions add", "suppressions remove"])
def test_help_speaks_of_files_and_addresses_and_of_no_type_of_ours(command: Command, line: str) -> None:
    said = command(*line.split(), "--help").out
    assert not set("<>") & set(said)
    assert "With - as " in said


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, notification_sender.cli as cli\ntry: cli.main(['--help'])\nfinally: print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert not HEAVY & set(ran.stdout.split())


def test_the_version_is_told(command: Command) -> None:
    assert command("--version").out.strip() == "0.1.0"


@pytest.mark.parametrize("line", ["", "nonsense", "run --fast", "audit", "publish", "publish /does/not/exist"])
def test_wrong_usage_is_2(command: Command, line: str) -> None:
    assert command(*line.split()).code == 2


@pytest.mark.parametrize("line", CONFIGURED)
def test_a_configuration_fault_is_78_with_every_fault_and_no_traceback(
    command: Command, app: App, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.delenv("NS_AAA_URL")
    monkeypatch.setenv("NS_CONCURENCY", "8")
    ended = command(*line.split())
    assert (ended.code, app.asked) == (78, [])
    said = ended.out + ended.err
    assert all(it in said for it in ("2 faults", "NS_AAA_URL", "did you mean NS_CONCURRENCY?"))
    assert not any(it in said for it in ("Traceback", "hunter2"))


@pytest.mark.parametrize("line", ["topology", "audit --batch b"])
def test_a_service_that_is_away_is_1_and_one_clear_line(command: Command, app: App, line: str) -> None:
    app.answer = Unready("RabbitMQ at rabbit:5672 does not answer")
    ended = command(*line.split())
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "notification-sender: RabbitMQ at rabbit:5672 does not answer\n"


@pytest.mark.parametrize("code", [0, 1, 78])
def test_the_worker_decides_the_exit_code(command: Command, app: App, code: int) -> None:
    app.answer = code
    assert command("run").code == code


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("keep", [False, True])
def test_the_demo_needs_no_configuration_and_decides_the_exit_code(
    command: Command, monkeypatch: pytest.MonkeyPatch, code: int, *, keep: bool
) -> None:
    asked = list[bool]()

    def main(*, keep: bool) -> int:
        asked.append(keep)
        return code

    monkeypatch.setattr(sandbox, "demo", SimpleNamespace(main=main), raising=False)
    assert command("demo", *(["--keep"] if keep else [])).code == code
    assert asked == [keep]


def test_the_demo_without_its_extra_says_what_to_install(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sandbox, "demo", raising=False)
    monkeypatch.setitem(sys.modules, "notification_sender.sandbox.demo", None)
    told = command("demo")
    assert told.code == 78
    assert "notification-sender[demo]" in told.err


@pytest.mark.parametrize(("addresses", "code"), [(2, 0), (0, 1)])
def test_a_destination_is_switched_on_again(command: Command, app: App, addresses: int, code: int) -> None:
    app.answer = SwitchResult(addresses, 0.0, "")
    ended = command("destinations", "enable", "--organization", "org-1", "--destination", "noc")
    assert ended.code == code
    assert app.asked == [("org-1", "noc")]


def test_what_is_wrong_with_destinations_is_listed_in_words(command: Command, app: App) -> None:
    future = 4_000_000_000.0
    app.answer = [
        Trouble("org-1", "noc", "3f0c9a1e", off="gone", until=future, failing_since=0.0, hold_until=0.0),
        Trouble("org-1", "sms", "91b2e7d0", off="failing", until=1.0, failing_since=1.0, hold_until=future),
    ]
    assert command("destinations", "list", "--organization", "org-1").out.splitlines() == [
        "org-1  noc (3f0c9a1e)  off until 2096-10-02T07:06:40Z: gone",
        (
            "org-1  sms (91b2e7d0)  on again, was off: failing, nothing accepted since 1970-01-01T00:00:01Z, "
            "asked us to wait until 2096-10-02T07:06:40Z"
        ),
    ]
    assert app.asked == ["org-1"]


def test_what_is_no_id_is_refused_before_it_is_a_pattern(command: Command, app: App) -> None:
    assert command("destinations", "enable", "--organization", "org-1", "--destination", "*").code == 2
    assert app.asked == []


def test_a_fault_found_late_by_the_worker_is_78(command: Command, app: App) -> None:
    app.answer = ConfigurationFault("the queue is of another kind")
    ended = command("run")
    assert (ended.code, ended.err) == (78, "notification-sender: the queue is of another kind\n")


# --- check


def test_check_lists_what_works_and_what_does_not(command: Command, app: App) -> None:
    app.answer = [
        app.CheckResult("rabbitmq", ok=True, detail="3.10.8"),
        app.CheckResult("redis", ok=False, detail="refused: start it"),
    ]
    ended = command("check")
    assert ended.code == 1
    assert ended.out.splitlines() == [
        "ok     configuration  complete",
        "ok     rabbitmq       3.10.8",
        "FAULT  redis          refused: start it",
    ]


def test_check_puts_what_goes_on_under_its_beginning_on_a_terminal_alone(
    command: Command, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.answer = [app.CheckResult("redis", ok=False, detail=" ".join(["word"] * 60) + "\nand another line")]
    assert len(command("check").out.splitlines()) == 3
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    rows = _table(app.answer).splitlines()
    assert max(map(len, rows)) <= 60
    assert {row[:14] for row in rows[1:]} == {" " * 14}
    assert rows[-1].strip() == "and another line"


def test_check_looks_at_each_organization_that_is_named_and_at_nothing_that_is_none(command: Command, app: App) -> None:
    app.answer = []
    assert command("check", "--organization", "acme", "--organization", "other:1").code == 0
    assert app.asked == [("probe", "acme", "other:1")]
    assert command("check", "--organization", "../acme").code == 2


def test_check_is_0_when_all_is_well_and_speaks_json(command: Command, app: App) -> None:
    app.answer = [app.CheckResult("redis", ok=True, detail="7.0")]
    ended = command("check", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["ok"] is True
    assert json.loads(ended.out)["probes"][1] == {"name": "redis", "ok": True, "detail": "7.0", "warning": False}


def test_check_speaks_json_about_the_configuration_too(
    command: Command, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NS_LEASE", "soon")
    ended = command("check", "--json")
    assert ended.code == 78
    assert "NS_LEASE" in json.loads(ended.out)["probes"][0]["detail"]
    assert app.asked == []


# --- render


def test_the_parts_of_a_notification_are_shown_without_any_configuration(
    command: Command, app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NS_AMQP_URL")
    app.answer = {"subject": "Outage", "txt": "Dear NOC"}
    (tmp_path / "unit").write_text(json.dumps(UNIT))
    (tmp_path / "facts").write_text('{"incident": {"incident_id": "i1"}}')
    files = ["--work-unit", str(tmp_path / "unit"), "--context", str(tmp_path / "facts")]
    ended = command("render", *files, "--template", "brief", "--channel", "email", "--templates", str(tmp_path))
    assert (ended.code, ended.out) == (0, "--- subject\nOutage\n--- txt\nDear NOC\n")
    templates, unit, *rest = app.asked[0]
    assert (templates, unit.work_unit_id) == (tmp_path, "w1")
    assert rest == ["brief", "email", {"incident": {"incident_id": "i1"}}]


def test_the_template_is_the_one_of_the_kind_unless_another_is_named(
    command: Command, app: App, tmp_path: Path
) -> None:
    app.answer = {}
    (tmp_path / "unit").write_text(json.dumps(UNIT))
    assert command("render", "--work-unit", str(tmp_path / "unit")).code == 0
    assert app.asked[0][0] is None
    assert app.asked[0][2:] == ("intel", "webhook", {})


def test_a_context_that_is_no_object_is_wrong_usage(command: Command, app: App, tmp_path: Path) -> None:
    (tmp_path / "unit").write_text(json.dumps(UNIT))
    (tmp_path / "facts").write_text("[]")
    files = ["--work-unit", str(tmp_path / "unit"), "--context", str(tmp_path / "facts")]
    assert (command("render", *files).code, app.asked) == (2, [])


def test_a_template_fault_is_1_and_says_where(command: Command, app: App, tmp_path: Path) -> None:
    app.answer = RenderFault("intel/webhook.json.j2, line 3: 'incident' is undefined")
    (tmp_path / "unit").write_text(json.dumps(UNIT))
    ended = command("render", "--work-unit", str(tmp_path / "unit"))
    assert (ended.code, ended.out) == (1, "")
    assert "line 3" in ended.err


# --- audit, topology, settings


def test_a_batch_that_is_accounted_for_is_0(command: Command, app: App) -> None:
    app.answer = {"acme": Audit(expected=400, delivered=398, suppressed=1, waiting=1, dead=0)}
    ended = command("audit", "--batch", "b1")
    assert (ended.code, app.asked) == (0, [("b1", None)])
    assert ended.out.splitlines()[0] == "accounted for: 400 of 400 (delivered 398, suppressed 1, waiting 1, dead 0)"


EMAIL, HOOK = (
    RecordedOutcome("delivered", notification_id="n-1"),
    RecordedOutcome("suppressed", "destination_disabled", "noc", "n-2"),
)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([EMAIL, RecordedOutcome("suppressed", "unsubscribed", "noc", "n-2")], 0),
        ([EMAIL, RecordedOutcome("waiting", notification_id="n-2")], 0),
        ([EMAIL, HOOK], 1),
        ([EMAIL, RecordedOutcome("dead", "exhausted", "noc", "n-2")], 1),
        ([RecordedOutcome("dead", "context_unavailable")], 1),
    ],
)
def test_whoever_should_have_been_told_and_was_not_makes_it_1(
    command: Command, app: App, outcomes: list[RecordedOutcome], code: int
) -> None:
    app.answer = {"acme": audit(1, {"w1": outcomes})}
    assert command("audit", "--batch", "b1").code == code
    assert command("audit", "--batch", "b1", "--json").code == code


def test_an_audit_shows_notifications_beside_units_and_lists_those_that_failed(command: Command, app: App) -> None:
    app.answer = {"acme": audit(2, {"w1@f00d": [EMAIL, HOOK], "w2": [RecordedOutcome("dead", "context_unavailable")]})}
    listed = command("audit", "--batch", "b1", "--failed")
    assert listed.out.splitlines() == [
        "accounted for: 2 of 2 (delivered 1, suppressed 0, waiting 0, dead 1)",
        "  notifications: 2 (delivered 1, suppressed 1, waiting 0, dead 0)",
        "    suppressed destination_disabled: 1",
        "  units without notifications: 1 (delivered 0, suppressed 0, waiting 0, dead 1)",
        "    dead context_unavailable: 1",
        "  suppressed destination_disabled  w1  noc  n-2",
        "  dead context_unavailable         w2  -    -",
    ]
    short = command("audit", "--batch", "b1")
    assert short.out.splitlines() == listed.out.splitlines()[:5]
    assert "--failed" in short.err
    [told] = json.loads(command("audit", "--batch", "b1", "--json").out)["organizations"]
    assert told["notifications"] == [
        {"outcome": "delivered", "reason": None, "count": 1},
        {"outcome": "suppressed", "reason": "destination_disabled", "count": 1},
    ]
    assert [(it["work_unit_id"], it["destination_id"], it["reason"]) for it in told["failed"]] == [
        ("w1", "noc", "destination_disabled"),
        ("w2", None, "context_unavailable"),
    ]


def test_a_missing_work_unit_is_1_with_their_number(command: Command, app: App) -> None:
    app.answer = {"acme": Audit(expected=400, delivered=398, suppressed=0, waiting=0, dead=0)}
    ended = command("audit", "--batch", "b1")
    assert ended.code == 1
    assert ended.out.splitlines()[0].endswith(", missing: 2")
    assert json.loads(command("audit", "--batch", "b1", "--json").out)["missing"] == 2


def test_two_organizations_with_one_batch_id_have_a_line_each(command: Command, app: App) -> None:
    acme = Audit(expected=2, delivered=2, suppressed=0, waiting=0, dead=0)
    app.answer = {"acme": acme, "other": Audit(expected=3, delivered=1, suppressed=0, waiting=0, dead=0)}
    ended = command("audit", "--batch", "b1", "--organization", "acme")
    assert (ended.code, app.asked) == (1, [("b1", "acme")])
    assert [it for it in ended.out.splitlines() if not it.startswith(" ")] == [
        "accounted for: 2 of 2 (delivered 2, suppressed 0, waiting 0, dead 0), organization: acme",
        "accounted for: 1 of 3 (delivered 1, suppressed 0, waiting 0, dead 0), missing: 2, organization: other",
    ]
    told = json.loads(command("audit", "--batch", "b1", "--json").out)
    assert (told["expected"], told["delivered"], told["missing"]) == (5, 3, 2)
    assert [(it["organization_id"], it["missing"]) for it in told["organizations"]] == [("acme", 0), ("other", 2)]


def test_a_batch_that_was_never_seen_is_1_and_says_so(command: Command, app: App) -> None:
    app.answer = {}
    ended = command("audit", "--batch", "b1", "--json")
    assert ended.code == 1
    assert json.loads(ended.out) == {"batch": "b1", "seen": False}
    assert "batch b1 is unknown" in ended.err


def test_the_topology_is_listed(command: Command, app: App) -> None:
    app.answer = ["notification-sender.units", "notification-sender.dead"]
    ended = command("topology")
    assert (ended.code, ended.out.split()) == (0, app.answer)


@pytest.mark.usefixtures("app")
def test_effective_settings_are_shown_without_secrets(command: Command) -> None:
    said = command("settings").out
    assert "NS_CONCURRENCY=200\n" in said
    assert "NS_AMQP_URL=amqp://worker:***@rabbit/vhost\n" in said
    assert "hunter2" not in said


def test_the_reference_page_needs_no_configuration(command: Command) -> None:
    assert command("settings", "--markdown").out.startswith("# Settings")


def test_the_size_of_a_fleet_is_checked_where_it_is_given(command: Command, app: App) -> None:
    app.answer = []
    assert command("check", "--pods", "4", "--pool", "aaa=50").out.splitlines() == [
        "ok     configuration  complete",
        "ok     fleet          2 pods",
    ]
    assert app.asked[0] == {"pods": 4, "pools": {"aaa": 50}}
    assert command("check", "--pool", "aaa=many").code == 2
    assert command("check", "--pods", "0").code == 2
