"""Checks every service and folder that the settings name, all at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq import inspection
from notification_sender.adapters.rabbitmq.broker import WayOut
from notification_sender.adapters.redis import scripts
from notification_sender.adapters.redis.eviction import memory_use, policy_in_use
from notification_sender.adapters.smtp.client import Smtp
from notification_sender.adapters.smtp.server import Server
from notification_sender.app import secrets_layout
from notification_sender.app.apis import Upstreams, apis
from notification_sender.app.asking import ANSWER_SECONDS, CLOSE_SECONDS
from notification_sender.app.backends import retention, store, topology
from notification_sender.app.certificates import CertificateEnds, certificate_ends
from notification_sender.app.channels import Recipients
from notification_sender.app.reach import Place
from notification_sender.app.tls import api_tls, broker_address, redis_tls, smtp_tls
from notification_sender.model.errors import ConfigurationFault, NotificationSenderError, Unready
from notification_sender.policy import fleet_size
from notification_sender.policy.fleet_size import FleetSize
from notification_sender.policy.sizing import fits
from notification_sender.processes.number import processes
from notification_sender.recipes import recipes
from notification_sender.render import Renderer, shipped
from notification_sender.settings import Settings
from notification_sender.telemetry import log
from notification_sender.telemetry.metrics import Metrics

MAX_MISSING_NAMED = 5
"""Missing queues and exchanges that one line names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. ``warning``: all works now, and will not for long."""

    detail: str
    warning: bool = False


Check = Callable[[Settings], Awaitable[str | Finding]]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check. ``detail``: what was found, or what to do."""

    name: str
    ok: bool
    detail: str
    warning: bool = False


def fleet_checks(settings: Settings, *, pods: int, pools: Mapping[str, int]) -> list[CheckResult]:
    """Whether ``pods`` pods fit the budgets, and the ``pools`` behind the APIs (connections, by API).

    Raises:
        ConfigurationFault: there is no API of that name.
    """
    if unknown := pools.keys() - apis().keys():
        raise ConfigurationFault(f"--pool: there is no API {', '.join(sorted(unknown))}, only {', '.join(apis())}")
    size = FleetSize(pods, processes(str(settings.processes)), settings.concurrency)
    budgets = {api: getattr(settings, f"{api}_budget") for api in apis()}
    each = [CheckResult(f"budget {it.api}", it.ok, it.detail) for it in fleet_size.fits(size, budgets, pools)]
    return [CheckResult("fleet", ok=True, detail=str(size)), *each]


async def run_checks(settings: Settings, organizations: Sequence[str] = ()) -> list[CheckResult]:
    """Run all checks at once, also for the destinations of these organizations. Sends and changes nothing."""
    log.to_people()
    checks = _checks(settings)
    for organization in organizations:
        checks[f"organization {organization}"] = partial(_destinations, organization)
    tasks = {name: asyncio.create_task(_run_check(name, check, settings)) for name, check in checks.items()}
    await asyncio.wait(tasks.values(), timeout=ANSWER_SECONDS)
    late = [task for task in tasks.values() if not task.done()]
    found = [task.result() if task.done() else _silent(name, settings) for name, task in tasks.items()]
    for task in late:
        task.cancel()
    if late:
        # With a limit: a service that does not answer may not answer a close either.
        await asyncio.wait(late, timeout=CLOSE_SECONDS)
    return found


def _checks(settings: Settings) -> dict[str, Check]:
    checks: dict[str, Check] = {
        "rabbitmq": _rabbitmq,
        "redis": _redis,
        "aaa": _aaa,
        "templates": _templates,
        "secrets": secrets_layout.check_files,
        "lua": _lua,
    }
    checks |= {name: partial(_listens, name) for name in apis() if name != "aaa"}
    if settings.smtp_url is not None:
        checks["smtp"] = _smtp
    return checks


async def _run_check(name: str, check: Check, settings: Settings) -> CheckResult:
    try:
        found = await check(settings)
    except (NotificationSenderError, OSError) as fault:
        return CheckResult(name, ok=False, detail="; ".join(str(fault).splitlines()))
    finding = found if isinstance(found, Finding) else Finding(found)
    return CheckResult(name, ok=True, detail=finding.detail, warning=finding.warning)


def _with_ends(detail: str, ends: CertificateEnds) -> Finding:
    return Finding(f"{detail}; {ends.text}" if ends.text else detail, ends.soon)


def _silent(name: str, settings: Settings) -> CheckResult:
    """The result of a check that did not finish. A refused connection would have finished it, so the service hangs."""
    place = _places(settings).get("aaa" if name.startswith("organization ") else name)
    if place is None:
        return CheckResult(name, ok=False, detail=f"not finished within {ANSWER_SECONDS:g} s")
    words = f"accepts connections, but does not answer within {ANSWER_SECONDS:g} s; check the port, and TLS or not"
    return CheckResult(name, ok=False, detail=f"{place}: {words}")


def _places(settings: Settings) -> dict[str, Place]:
    """The network places, by the name of their check."""
    urls = {"rabbitmq": ("NS_AMQP_URL", settings.amqp_url), "redis": ("NS_REDIS_URL", settings.redis_url)}
    places = {
        name: Place.of(variable, url.get_secret_value())
        for name, (variable, url) in urls.items()
        if url.scheme != "memory"
    }
    for name in apis():
        places[name] = Place.of(f"NS_{name.upper()}_URL", getattr(settings, f"{name}_url"))
    if settings.smtp_url is not None:
        server = Server.parse(settings.smtp_url.get_secret_value())
        places["smtp"] = Place("NS_SMTP_URL", server.host, server.port)
    return places


async def _rabbitmq(settings: Settings) -> Finding:
    place = _places(settings).get("rabbitmq")
    if place is None:
        return Finding("embedded in the worker: nothing to reach")
    address = broker_address(settings)
    server = await place.reach(address.tls if settings.amqp_url.scheme == "amqps" else None)
    with _named(place):
        state = await inspection.inspect(address, topology(settings), SystemClock())
    return _with_ends(_queues(state, place), certificate_ends(address.tls, server))


def _queues(state: inspection.BrokerState, place: Place) -> str:
    if state.differing:
        advice = "empty and delete it (rabbitmqctl delete_queue), or choose other names (NS_TOPOLOGY_PREFIX)"
        raise ConfigurationFault(f"{place}: {_some(state.differing)}; {advice}")
    if not state.missing:
        return f"connected; all queues and exchanges exist; {_way_out(state)}"
    missing = f"missing: {_some(state.missing)}; run `notification-sender topology`"
    if state.may_declare is False:
        raise ConfigurationFault(f"{place}: {missing} as a user with the configure permission; this user has none")
    return f"connected; {missing}, or start a worker, which declares them"


@contextmanager
def _named(place: Place) -> Iterator[None]:
    """Add the place and its variable to the text of every error."""
    try:
        yield
    except NotificationSenderError as fault:
        hint = ": does it speak TLS on this port?" if "[SSL: WRONG" in str(fault) else ""
        raise Unready(f"{place}: {fault}{hint}") from fault


def _some(names: Sequence[str]) -> str:
    more = len(names) - MAX_MISSING_NAMED
    return ", ".join(names[:MAX_MISSING_NAMED]) + (f" and {more} more" if more > 0 else "")


def _way_out(state: inspection.BrokerState) -> str:
    if state.way_out is None:
        return "a user without the configure permission cannot see how they were declared"
    if state.way_out is WayOut.NONE:
        return f"but one message without a queue would stop all delays; run: {state.policy}"
    return f"messages for a missing queue go to the dead letters, by {state.way_out}"


async def _redis(settings: Settings) -> Finding:
    opened, tls, server = store(settings, connecting=ANSWER_SECONDS), redis_tls(settings), b""
    place = _places(settings).get("redis")
    if place is not None:
        server = await place.reach(tls if settings.redis_url.scheme == "rediss" else None)
        with _named(place):
            await opened.connect(once=True)
    try:
        use, policy = await memory_use(opened.redis), await policy_in_use(opened.redis)
    finally:
        await opened.redis.close()
    limits = [getattr(settings, f"throttle_{it}") for it in _recipients(settings).configured]
    memory = fits(*use[:2], retention(settings), limits) if use else "does not report its memory use"
    evicts = f"; evicts by {policy}" if use and policy else ""
    return _with_ends(f"connected; runs scripts; {memory}{evicts}", certificate_ends(tls, server))


async def _aaa(settings: Settings) -> Finding:
    place, tls = _places(settings)["aaa"], api_tls(settings)
    server = await place.reach(tls if settings.aaa_url.startswith("https:") else None)
    upstreams = Upstreams(settings, store=store(settings), clock=SystemClock(), metrics=Metrics())
    try:
        with _named(place):
            await upstreams.check_token()
    finally:
        await upstreams.close()
    return _with_ends("issued a service token", certificate_ends(tls, server))


async def _smtp(settings: Settings) -> str | Finding:
    if settings.smtp_url is None:
        return "not set"
    tls = smtp_tls(settings)
    server = Server.parse(settings.smtp_url.get_secret_value())
    place = _places(settings)["smtp"]
    await place.reach(tls if server.tls else None)
    mailer = Smtp(server, tls=tls, name=settings.email_helo)
    try:
        with _named(place):
            certificate = await mailer.greet()
    finally:
        await mailer.close()
    accepted = f"{server.host}:{server.port} accepts our name{' and login' if server.user else ''}"
    return _with_ends(accepted, certificate_ends(tls, certificate))


def _recipients(settings: Settings) -> Recipients:
    """Its channels are looked at, and nothing is sent."""
    upstreams = Upstreams(settings, store=store(settings), clock=SystemClock(), metrics=Metrics())
    return Recipients(settings, tokens=upstreams.outbound_tokens, clock=SystemClock())


async def _templates(settings: Settings) -> str:
    recipients = _recipients(settings)
    folder = settings.templates_dir or shipped()
    parts = {name: it.parts for name, it in recipients.channels.items()}
    # In a thread: it compiles all templates, and would delay the other checks on the loop.
    renderer = await asyncio.to_thread(partial(Renderer, folder=folder, channels=parts))
    kinds = recipes()
    left_out = renderer.check(kinds, recipients.configured)
    skipped = f"; left out on purpose: {', '.join(left_out)}" if left_out else ""
    return f"all templates in {folder} compile; every kind has one ({', '.join(sorted(kinds))}){skipped}"


async def _lua(_: Settings) -> str:
    ledger = ("record", "claim", "admit", "begin", "settle", "note_deferral", "renew", "enroll")
    for name in (*ledger, "fact", "lookup", "store", "renew_leases", "allocate"):
        scripts.load(name)
    return "all scripts found"


async def _destinations(organization_id: str, settings: Settings) -> str:
    await _places(settings)["aaa"].reach()
    return await secrets_layout.destinations(settings, organization_id)


async def _listens(name: str, settings: Settings) -> Finding:
    place, encrypted = _places(settings)[name], getattr(settings, f"{name}_url").startswith("https:")
    tls = api_tls(settings, third_party=not apis()[name].trusted)
    server = await place.reach(tls if encrypted else None)
    accepts = f"{place.host}:{place.port} accepts connections{' and speaks TLS' if encrypted else ''}"
    return _with_ends(accepts, certificate_ends(tls, server, own_files=False))
