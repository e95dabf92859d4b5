"""What `why`, `eta`, `status`, `top` and `pods` print of a fleet, and how they end."""

import json
from dataclasses import replace

import pytest

from notification_sender.policy.fleet_view import FleetView, Received
from tests.cli.stand_in import App, Command
from tests.policy.fleets import NOW, api, fleet, holding, override, report, view, with_api
from tests.policy.test_verdict import FAULTS

SLOW_AAA = fleet(with_api("aaa", api(calls=30, phases={"wait": 30.0, "first_byte": 20.0}, waiting=5)), units=range(13))
AWAY = FleetView(now=NOW, redis_fault="redis:6379 (NS_REDIS_URL): refuses connections")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_why_begins_with_one_sentence_and_shows_where_the_time_goes(command: Command, app: App) -> None:
    app.answer = SLOW_AAA
    ended = command("why")
    said = lines(ended.out)
    assert ended.code == 1
    assert said[:2] == [
        "api  Calls to aaa wait 1000 ms for one of its 100 slots.",
        "More pods will not help: they would call the same aaa.",
    ]
    assert said[said.index("Where the time of the slots goes") + 1].startswith("  context.organization  60%  ███")
    assert "  api    aaa         0      100  calls                  10" in said
    assert said[-1] == "2 of 2 processes reported in the last 15 s"


def test_why_as_json_is_one_object(command: Command, app: App) -> None:
    app.answer = SLOW_AAA
    said = json.loads(command("why", "--json").out)
    assert (said["limit"], said["subject"], said["phase"], said["more_pods_help"]) == ("api", "aaa", "slot", False)


def test_where_nothing_limits_the_fleet_why_and_status_end_well(command: Command, app: App) -> None:
    app.answer = fleet()
    assert [command(it).code for it in ("why", "status", "eta", "pods")] == [0, 0, 0, 0]


@pytest.mark.parametrize("words", ["why", "status", "eta", "top"])
def test_a_service_that_is_away_is_an_answer(command: Command, app: App, words: str) -> None:
    app.answer = AWAY
    ended = command(words)
    assert (ended.code, ended.err) == (1, "")
    said = lines(ended.out)
    assert "redis:6379 (NS_REDIS_URL): refuses connections" in " ".join(said)
    assert [it for it in said if it.startswith("  out")] == ["  out      unknown: Redis is away"]
    assert said[-1] == "No report of a process is known"
    assert json.loads(command(words, "--json").out)["away"] == {"redis": AWAY.redis_fault}


@pytest.mark.parametrize("words", ["why", "status", "eta", "top"])
def test_where_rabbitmq_is_away_no_old_depth_is_shown(command: Command, app: App, words: str) -> None:
    app.answer = replace(fleet(units=[4711] * 13), broker_fault="rabbit:5672 (NS_AMQP_URL): refuses connections")
    ended = command(words)
    assert (ended.code, "4,711" in ended.out) == (1, False)
    assert "  waiting  unknown: RabbitMQ is away" in lines(ended.out)


def test_status_as_json_has_no_sentences_but_states(command: Command, app: App) -> None:
    app.answer = fleet(holding(waiting_for_files=("org-1/noc: the secret is missing",), hosts_out=("noc.example:443",)))
    state = json.loads(command("status", "--json").out)["state"]
    assert state["hosts_out"] == ["noc.example:443"]
    assert state["files_missing"] == [{"destination": "org-1/noc", "cause": "the secret is missing"}]
    assert state["apis"]["aaa"] == "well"
    app.answer = AWAY
    state = json.loads(command("status", "--json").out)["state"]
    assert set(state.values()) == {None}


@pytest.mark.parametrize("words", ["why", "status"])
def test_what_operators_have_set_is_shown(command: Command, app: App, words: str) -> None:
    app.answer = fleet(overrides=[override("circuit", "api/geocoding", "open")])
    said = command(words).out
    assert "circuit open  api/geocoding  until 2026-03-06T08:36:00Z, by anna@bastion-1: INC-4711" in said


def test_a_path_is_never_cut(command: Command, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    path = "/run/secrets/" + "signing/" * 8 + "noc"
    app.answer = fleet(holding(waiting_for_files=(f"org-1/noc: there is no {path}: put it there",)))
    assert f"{path}:" in command("status").out
    assert f"{path}:" in command("why").out


@pytest.mark.parametrize("width", ["40", "80", "120"])
@pytest.mark.parametrize("words", ["why", "status", "eta", "top", "pods"])
def test_every_line_fits_the_terminal(
    command: Command, app: App, monkeypatch: pytest.MonkeyPatch, words: str, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    for seen, _ in FAULTS.values():
        app.answer = replace(seen, redis_fault="") if words == "pods" else seen
        assert max(map(len, lines(command(words).out))) <= int(width)


def test_eta_never_says_a_number_that_means_nothing(command: Command, app: App) -> None:
    app.answer = fleet(units=range(0, 1300, 100))
    ended = command("eta")
    assert (ended.code, lines(ended.out)[0]) == (
        1,
        "1,200 messages will never be done at this rate: the backlog grows by 1,200 a minute.",
    )
    app.answer = fleet(units=range(7200, 5900, -100))
    ended = command("eta")
    assert (ended.code, lines(ended.out)[0]) == (0, "6,000 messages will be done in 5 min.")
    assert json.loads(command("eta", "--json").out)["eta_s"] == 300


def test_pods_marks_the_frozen_and_the_different(command: Command, app: App) -> None:
    seen = view(report(1), report(2, configuration="deadbeef", last_delivery=NOW - 90))
    frozen = Received("pod-3:7", NOW - 41, report(3))
    app.answer = replace(seen, received=[*seen.received, frozen, Received("pod-4:7", NOW, None)])
    ended = command("pods")
    said = lines(ended.out)
    assert ended.code == 1
    assert [line.split()[:4] for line in said[1:5]] == [
        ["pod-1:7", "fresh", "1.0", "c0ffee00"],
        ["pod-2:7", "fresh", "1.0", "deadbeef"],
        ["pod-3:7", "frozen", "1.0", "c0ffee00"],
        ["pod-4:7", "unreadable", "-", "-"],
    ]
    assert said[-1] == "the processes have 2 configurations: c0ffee00, deadbeef"
    assert [it["state"] for it in json.loads(command("pods", "--json").out)][2:] == ["frozen", "unreadable"]


def test_pods_without_redis_or_without_a_process_is_a_problem(command: Command, app: App) -> None:
    app.answer = AWAY
    ended = command("pods")
    assert (ended.code, "refuses connections" in ended.err) == (1, True)
    app.answer = FleetView(now=NOW)
    ended = command("pods")
    assert (ended.code, ended.out) == (1, "no process has reported\n")


def test_top_as_json_has_the_steps_and_the_apis(command: Command, app: App) -> None:
    app.answer = SLOW_AAA
    said = json.loads(command("top", "--json").out)
    assert said["steps"][0] == {"step": "context.organization", "slot_seconds": 120.0, "slots": 0}
    assert said["apis"]["aaa"]["calls"] == 60
