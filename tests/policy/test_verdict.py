"""Each fault of the trial as reports by hand, and what is said of it. No report that is old gets an advice."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.model.process_report import MAIL_SERVER, LoopUse, ProcessReport, WaitCause
from notification_sender.policy.candidates import Limit
from notification_sender.policy.fleet_view import FRESH_SECONDS, GONE_SECONDS, FleetView, Received
from notification_sender.policy.verdict import Verdict, verdict
from tests.policy.fleets import API_NAMES, NOW, api, dying, fleet, holding, override, report, view, with_api

SLOW_FIRST_BYTE = {"wait": 0.1, "connect": 0.1, "first_byte": 200.0}
NO_TEMPLATE = WaitCause(reason="dead render", subject="wrong", organization="org-1", count=40)


def throttled(organization: str, count: int = 100) -> WaitCause:
    return WaitCause(reason="throttled", subject="webhook", organization=organization, count=count, waiting=80.0)


def failed(destination: str, count: int = 8) -> WaitCause:
    return WaitCause(reason="failed", subject=destination, organization="org-1", count=count, waiting=5.0)


def unavailable(name: str, phase: str) -> WaitCause:
    return WaitCause(reason="context_unavailable", subject=name, phase=phase, count=20, waiting=10.0)


HALF = {"slots_used": 120, "slot_seconds": {"context.incident": 4800.0}}
FULL = {"slots": 2, "slots_allowed": 2, "slot_seconds": {"context.incident": 60.0, "send.webhook": 18.0}}

FAULTS: Mapping[str, tuple[FleetView, tuple[Limit, str | None, bool | None]]] = {
    "slow API on all calls": (
        fleet(with_api("incidents", api(state="slow", late=100, phases=SLOW_FIRST_BYTE))),
        ("api", "incidents", False),
    ),
    "slow API on 1 % of calls": (
        fleet(with_api("assets", api(late=2, calls=200, phases={"first_byte": 20.0}))),
        ("api", "assets", False),
    ),
    "AAA pool of one": (
        fleet(with_api("aaa", api(calls=30, phases={"wait": 30.0, "first_byte": 20.0}, waiting=5)), units=range(13)),
        ("api", "aaa", False),
    ),
    "API 503": (
        fleet(with_api("intel_requests", api(state="out", failed=40), unavailable("intel_requests", "read"))),
        ("api", "intel_requests", False),
    ),
    "an API that hangs": (
        fleet(with_api("assets", api(calls=4, failed=4), unavailable("assets", "first_byte"))),
        ("api", "assets", False),
    ),
    "rate limit of one organization": (fleet(holding(throttled("org-1"))), ("throttle", "org-1", False)),
    "rate limit of all": (fleet(holding(*(throttled(f"org-{it}") for it in range(6)))), ("throttle", None, False)),
    "one destination that hangs": (
        fleet(holding(failed("noc"), hosts_out=("noc.example:443",))),
        ("destination", "org-1/noc", False),
    ),
    "fifty that hang": (fleet(holding(*(failed(f"hook-{it}") for it in range(50)))), ("destination", None, False)),
    "a mail server that defers": (fleet(holding(failed(MAIL_SERVER))), ("destination", MAIL_SERVER, False)),
    "Redis slow by 50 ms": (fleet(lambda it: replace(it, redis_ms=51.0, **FULL)), ("redis", None, False)),
    "Redis away": (FleetView(now=NOW, redis_fault="redis:6379 refuses connections"), ("redis", None, None)),
    "broker alarm": (fleet(lambda it: replace(it, broker_blocked=True)), ("broker", "alarm", False)),
    "broker alarm, and the command sees it": (
        fleet(lambda it: replace(it, broker_blocked=True), broker_fault="it confirmed no message within 2 s"),
        ("broker", "alarm", False),
    ),
    "broker away": (fleet(broker_fault="rabbit:5672 refuses connections"), ("broker", None, False)),
    "CPU burned beside the worker": (
        fleet(lambda it: replace(it, loop=LoopUse(ran=4.0, waited=30.0, cpu=4.0, lost=25.0, stalls={"machine": 9}))),
        ("cpu", "pod-1", True),
    ),
    "event loop blocked": (
        fleet(lambda it: replace(it, loop=LoopUse(ran=30.0, waited=29.0, cpu=30.0, lost=30.0, own=28.0))),
        ("loop", "pod-1:7", False),
    ),
    "slots too few for the latency": (
        fleet(lambda it: replace(it, lanes_waiting=4, **FULL), units=range(0, 130, 10)),
        ("slots", None, True),
    ),
    "poison units": (fleet(dying(malformed=20)), ("poison", "malformed", False)),
    "a wrong template": (
        fleet(holding(NO_TEMPLATE, outcomes={"notification dead render": 40})),
        ("template", "wrong", False),
    ),
    "a missing secret": (
        fleet(holding(waiting_for_files=("org-1/noc: the signing secret 'noc' is missing",))),
        ("secret", "org-1/noc", False),
    ),
    "a paused organization": (
        fleet(
            holding(WaitCause(reason="paused", subject="org-1", organization="org-1", count=9, waiting=9.0)),
            overrides=[override("pause", "organization/org-1")],
        ),
        ("paused", "org-1", False),
    ),
    "nobody publishes": (
        fleet(lambda it: replace(it, arrived=0, outcomes={}, unsettled=0)),
        ("no_arrivals", None, False),
    ),
    "two processes with different configuration": (
        view(report(1), report(2, configuration="deadbeef")),
        ("drift", "configuration", False),
    ),
    "nothing": (fleet(), ("idle", None, False)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_subject_and_whether_more_pods_help(name: str) -> None:
    seen, expected = FAULTS[name]
    said = verdict(seen)
    assert (said.limit, said.subject, said.more_pods_help) == expected
    assert said.advice or said.limit in {"idle", "redis"}
    assert said.limit in {"redis", "broker"} or (said.fresh and len(said.candidates) == 4)


@pytest.mark.parametrize(
    ("use", "phase"),
    [
        (api(state="slow", phases={"connect": 90.0, "first_byte": 5.0}), "connect"),
        (api(state="slow", phases={"first_byte": 5.0, "body": 90.0}), "body"),
        (api(phases={"wait": 90.0, "first_byte": 5.0}), "slot"),
    ],
)
def test_the_phase_of_a_slow_api_is_where_its_calls_spend_their_time(use: Any, phase: str) -> None:
    assert verdict(fleet(with_api("aaa", use))).phase == phase


def test_an_api_that_spends_its_time_in_another_one_is_not_blamed() -> None:
    through = api(state="slow", late=100, phases=SLOW_FIRST_BYTE, servers={"aaa": 180.0, "work": 5.0})
    said = verdict(fleet(with_api("intel_requests", through)))
    assert (said.limit, said.subject) == ("api", "aaa")
    assert "intel_requests" in said.sentence


def test_one_call_in_thousands_that_was_late_is_watched_and_no_limit() -> None:
    said = verdict(fleet(with_api("assets", api(late=1, calls=2000))))
    assert said.limit == "idle"
    assert ("api", "assets") in [(it.limit, it.subject) for it in said.candidates]


@pytest.mark.parametrize(("depth", "limit"), [(40, "throttle"), (600, "slots")])
def test_a_throttle_explains_what_it_holds_back_and_not_the_messages_that_wait_for_a_slot(
    depth: int, limit: Limit
) -> None:
    seen = fleet(holding(throttled("org-1"), lanes_waiting=4, **FULL), units=[depth] * 13)
    assert verdict(seen).limit == limit


def test_a_slow_api_explains_that_all_slots_are_busy() -> None:
    slow = with_api("incidents", api(state="slow", late=100, phases=SLOW_FIRST_BYTE))
    assert verdict(fleet(lambda it: replace(slow(it), lanes_waiting=4, **FULL), units=[600] * 13)).limit == "api"


def test_some_late_calls_of_most_apis_at_once_are_held_against_none_of_them() -> None:
    hiccup = {name: api(late=3) for name in API_NAMES[:3]}
    assert verdict(fleet(lambda it: replace(it, apis={**it.apis, **hiccup}))).limit == "idle"
    two = {name: api(late=3) for name in API_NAMES[:2]}
    assert verdict(fleet(lambda it: replace(it, apis={**it.apis, **two}))).limit == "api"


def test_some_late_calls_are_held_against_no_api_while_the_workers_wait_for_processors() -> None:
    short = LoopUse(ran=4.0, waited=20.0, cpu=4.0, turns=9000)
    some = with_api("incidents", api(late=3))
    assert verdict(fleet(some)).limit == "api"
    said = verdict(fleet(lambda it: replace(some(it), loop=short)))
    assert said.limit == "idle"
    assert ("api", "incidents") in [(it.limit, it.subject) for it in said.candidates]


def test_a_customer_of_thousands_whose_endpoint_fails_is_no_limit() -> None:
    busy = fleet(holding(failed("noc", count=2), outcomes={"notification delivered ": 5000}))
    assert verdict(busy).limit == "idle"


def test_a_machine_on_which_others_compute_is_no_limit_while_nothing_is_late() -> None:
    assert verdict(fleet(lambda it: replace(it, loop=LoopUse(ran=4.0, waited=30.0, lost=0.5)))).limit == "idle"


# Each turn of such a loop waits for 30 ms.
STARVED = LoopUse(ran=4.0, waited=30.0, cpu=4.0, lost=25.0, turns=1000)
LATE_ANSWERS = {"redis_ms": 95.0, "apis": {name: api(late=90) for name in API_NAMES}}


@pytest.mark.parametrize(("redis_ms", "limit"), [(95.0, "cpu"), (250.0, "redis")])
def test_what_waiting_for_a_processor_explains_is_not_held_against_redis(redis_ms: float, limit: Limit) -> None:
    assert verdict(fleet(lambda it: replace(it, loop=STARVED, redis_ms=redis_ms))).limit == limit


def test_too_little_cpu_comes_before_everything_that_it_makes_late() -> None:
    assert verdict(fleet(lambda it: replace(it, loop=STARVED, **LATE_ANSWERS, **FULL))).limit == "cpu"


@pytest.mark.parametrize(("depth", "limit"), [(0, "idle"), (600, "cpu")])
def test_many_short_waits_for_a_processor_limit_a_fleet_that_is_behind(depth: int, limit: Limit) -> None:
    short = LoopUse(ran=4.0, waited=20.0, cpu=4.0, turns=9000)
    assert verdict(fleet(lambda it: replace(it, loop=short), units=[depth] * 13)).limit == limit


def test_a_loop_that_could_use_a_whole_processor_and_gets_half_of_one_limits_its_fleet() -> None:
    half = LoopUse(ran=20.0, waited=16.0, cpu=20.0, turns=9000)
    assert verdict(fleet(lambda it: replace(it, loop=half, lanes_waiting=4, **FULL), units=[600] * 13)).limit == "cpu"


@given(waited=st.floats(0.0, 36.0), more=st.floats(0.0, 36.0), redis_ms=st.floats(0.0, 200.0))
def test_a_process_that_waits_longer_for_a_processor_never_blames_redis_more(
    waited: float, more: float, redis_ms: float
) -> None:
    def limit(seconds: float) -> Limit:
        loop = LoopUse(ran=4.0, waited=seconds, cpu=4.0, lost=0.7 * seconds, turns=1000)
        return verdict(fleet(lambda it: replace(it, loop=loop, redis_ms=redis_ms))).limit

    assert limit(waited) == "redis" or limit(waited + more) != "redis"


@pytest.mark.parametrize(
    ("seen", "why", "what_to_do"),
    [
        (
            fleet(units=range(0, 1300, 100)),
            "1200 more each minute, and only 1% of the slots are in use",
            "list_consumers",
        ),
        (fleet(lambda it: replace(it, window=10.0), units=[918]), "too young", "Ask again in 30 s."),
        (
            fleet(lambda it: replace(it, **HALF), units=[918]),
            "60% of the slots are in use",
            "`notification-sender top`",
        ),
        (fleet(units=[0], retries=918), "all but 0 of them wait for their next attempt", "`notification-sender retry`"),
        (
            fleet(holding(failed("noc", count=2)), units=[0], retries=918),
            "most of them for `failed` (noc)",
            "`notification-sender retry`",
        ),
    ],
)
def test_a_backlog_that_no_figure_explains_is_unknown_with_the_reason_and_what_to_do(
    seen: FleetView, why: str, what_to_do: str
) -> None:
    said = verdict(seen)
    assert (said.limit, said.fresh, said.more_pods_help) == ("unknown", True, None)
    assert why in said.sentence
    assert what_to_do in said.advice[0]


@given(depth=st.integers(0, 5000), retries=st.integers(0, 5000), arrived=st.integers(0, 300), used=st.floats(0, 400))
def test_a_fleet_with_a_backlog_is_never_called_idle(depth: int, retries: int, arrived: int, used: float) -> None:
    def change(it: ProcessReport) -> ProcessReport:
        return replace(it, arrived=arrived, slot_seconds={"render": 40.0 * used}, slots_used=round(used))

    said = verdict(fleet(change, units=[depth], retries=retries))
    delivered = said.flow.deliveries_per_min or 0.0
    if depth > max(50, delivered / 6) or depth + retries > max(50, delivered):
        assert said.limit not in {"idle", "no_arrivals"}
    if said.limit == "unknown":
        assert said.advice
        assert ", and " in said.sentence


def test_a_reader_without_a_processor_says_nothing_of_redis_and_believes_the_processes_of_rabbitmq() -> None:
    unasked = verdict(FleetView(now=NOW, redis_fault="redis:6379: no answer", reader_starved=True))
    assert (unasked.limit, unasked.fresh) == ("unknown", False)
    late = {"broker_fault": "rabbit:5672: no answer", "reader_starved": True}
    assert verdict(fleet(**late)).limit == "idle"
    assert verdict(fleet(lambda it: replace(it, broker_blocked=True), **late)).limit == "broker"
    assert verdict(fleet(lambda it: replace(it, arrived=0), **late)).limit == "broker"


def test_workers_that_die_one_after_the_other_are_poisoned() -> None:
    died = [
        Received(f"pod-1:{it}", NOW - 60.0 + it, report(1, process=f"pod-1:{it}", started=NOW - 65 + it))
        for it in (0, 9)
    ]
    living = view(report(1, started=NOW - 40.0), report(2))
    said = verdict(replace(living, received=[*died, *living.received]))
    assert (said.limit, said.subject, said.fresh) == ("poison", "crashed", True)


def aged(seconds: float, number: int = 2) -> Received:
    return Received(f"pod-{number}:7", NOW - seconds, report(number))


def beside(*old: Received) -> Verdict:
    healthy = view(report(1))
    return verdict(replace(healthy, received=[*healthy.received, *old]))


def test_a_silent_process_beside_others_is_frozen_until_it_is_gone() -> None:
    assert beside(aged(FRESH_SECONDS)).limit == "idle"
    frozen = beside(aged(FRESH_SECONDS + 1))
    assert (frozen.limit, frozen.subject, frozen.fresh, frozen.advice) == ("frozen", "pod-2:7", False, ())
    assert beside(aged(GONE_SECONDS + 1)).limit == "idle"


def test_a_silent_process_whose_place_is_taken_is_not_frozen() -> None:
    again = Received("pod-2:8", NOW - 1, report(2, process="pod-2:8", started=NOW - 50))
    assert beside(aged(60.0), again).limit == "idle"


def test_a_fleet_that_never_reported_is_unknown() -> None:
    said = verdict(FleetView(now=NOW))
    assert (said.limit, said.fresh, said.flow.eta_s, said.flow.backlog) == ("unknown", False, None, None)
    assert "Start a worker" in said.sentence


FAULTY = [it for it, _ in FAULTS.values() if it.received and not it.broker_fault]


@given(
    seen=st.sampled_from(FAULTY),
    ages=st.lists(st.sampled_from([1.0, 16.0, 100.0]), min_size=2, max_size=2).filter(
        lambda it: max(it) > FRESH_SECONDS
    ),
    unreadable=st.lists(st.booleans(), min_size=2, max_size=2),
)
def test_a_report_that_is_old_or_unreadable_forces_unknown_or_frozen_and_removes_every_advice(
    seen: FleetView, ages: list[float], unreadable: list[bool]
) -> None:
    received = [
        Received(it.process, NOW - age, None if lost else it.report)
        for it, age, lost in zip(seen.received, ages, unreadable, strict=True)
    ]
    said = verdict(replace(seen, received=received))
    assert said.limit in {"unknown", "frozen"}
    assert (said.fresh, said.advice, said.candidates, said.more_pods_help) == (False, (), (), None)
    assert said.limit == "unknown" or min(ages) <= FRESH_SECONDS


def test_the_json_form_has_the_keys_of_the_contract() -> None:
    said = verdict(FAULTS["rate limit of one organization"][0]).as_json()
    assert list(said) == [
        *("limit", "subject", "phase", "sentence", "advice", "more_pods_help", "fresh", "candidates"),
        *("backlog", "oldest_age_s", "arrivals_per_min", "deliveries_per_min", "eta_s"),
        *("trend", "away", "overrides"),
    ]
    assert said["candidates"][0] == {
        "limit": "throttle",
        "subject": "org-1",
        "used": 200,
        "allowed": None,
        "waiting": 160.0,
    }


def test_a_destination_is_named_with_its_organization_and_with_its_own_failures_alone() -> None:
    said = verdict(fleet(holding(failed("noc", 40), failed("other", 3), hosts_out=("noc.example:443",)))).sentence
    assert said == (
        "Destination noc of organization org-1 cannot be delivered to: 80 attempts failed or had to wait "
        "(6 more of 1 other), 1 circuit is open"
    )


def test_a_destination_that_several_organizations_have_is_named_without_them() -> None:
    shared = [replace(failed("noc"), organization=f"org-{number}") for number in range(6)]
    said = verdict(fleet(holding(*shared)))
    assert (said.subject, said.sentence.partition(":")[0]) == ("noc", "Destination noc cannot be delivered to")


def test_an_api_for_which_nothing_is_deferred_while_work_goes_on_is_a_fault_and_not_the_limit() -> None:
    out = with_api("geocoding", api(state="out", calls=0))
    slow = with_api("aaa", api(state="slow", late=100, phases=SLOW_FIRST_BYTE))
    seen = fleet(lambda it: replace(slow(it), apis=slow(it).apis | {"geocoding": out(it).apis["geocoding"]}))
    busy = replace(seen, samples=fleet(units=[900] * 13).samples)
    assert verdict(busy).subject == "aaa"
    forced = replace(busy, overrides=[override("circuit", "api/geocoding", "open")])
    said = {it.subject: it.sentence for it in verdict(forced).candidates}
    assert said["geocoding"] == "An operator holds the circuit of geocoding open: it is not called"


def test_an_api_that_is_out_and_lets_nothing_in_is_the_limit() -> None:
    seen = fleet(lambda it: replace(with_api("aaa", api(state="out", calls=0))(it), arrived=0), units=[900] * 13)
    assert (verdict(seen).limit, verdict(seen).subject) == ("api", "aaa")


@pytest.mark.parametrize(
    ("fault", "name"), [({"redis_fault": "redis:6379"}, "redis"), ({"broker_fault": "rabbit:5672"}, "rabbitmq")]
)
def test_what_is_said_names_the_services_that_are_away(fault: dict[str, str], name: str) -> None:
    assert verdict(replace(fleet(), **fault)).as_json()["away"] == {name: next(iter(fault.values()))}
    both = FleetView(now=NOW, redis_fault="redis:6379", broker_fault="rabbit:5672")
    assert list(verdict(both).away) == ["redis", "rabbitmq"]
    assert "and so is RabbitMQ: rabbit:5672" in verdict(both).sentence


def test_what_operators_have_set_is_a_part_of_the_verdict() -> None:
    seen = fleet(overrides=[override("rate", "org-1/webhook", "60/minute burst 5")])
    [said] = verdict(seen).as_json()["overrides"]
    assert (said["kind"], said["subject"], said["value"]) == ("rate", "org-1/webhook", "60/minute burst 5")
    assert said["until"] == "2026-03-06T08:36:00Z"


def test_what_waits_for_a_slot_waits_for_the_api_in_whose_calls_the_slots_are() -> None:
    slow = api(state="slow", late=90, calls=90, phases={"first_byte": 75.0})
    full = {"slots": 2, "slots_allowed": 2, "slot_seconds": {"context.organization": 78.0, "send.webhook": 1.0}}
    seen = fleet(
        lambda it: replace(with_api("aaa", slow)(it), held=(throttled("org-1", 9),), **full), units=range(0, 520, 40)
    )
    assert (verdict(seen).limit, verdict(seen).subject) == ("api", "aaa")
