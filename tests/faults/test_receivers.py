"""Recipients and mail servers in every kind of trouble: what is owed arrives, and nobody pays for somebody else."""

import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.listener import listening
from tests.e2e.reading import headers
from tests.faults.proxy import Passing, Proxy, asked
from tests.faults.rig import Rig
from tests.faults.rows import record, row
from tests.patience import patient
from tests.services.certificates import Certificate, certificate, expired
from tests.services.program import free_port

Record = dict[str, Any]


def units_for(rig: Rig, destinations: Iterable[Record]) -> list[Record]:
    """A unit for each of these."""
    return [rig.unit(channels=None, destinations=[it]) for it in destinations]


def mails(rig: Rig, count: int, *, script: Iterable[Any] = (), answer: int | None = None) -> list[Record]:
    """Units for one mail address of its own each, whose server answers by ``script``, then ``answer``, or well."""
    made = []
    for _ in range(count):
        name = rig.hook()["destination_id"]
        to = f"{name}@example.com"
        rig.inbox.behaviours[to].configure(script=script, answer=answer)
        made.append({"destination_id": name, "channel": "email", "to": to, "template": "intel"})
    return units_for(rig, made)


# --- answers ------------------------------------------------------------------------------------------------------


@row(59, "three errors, then 200: how far off the schedule", quick=False)
@row(72, "ids and timestamps of all copies", quick=False)
async def test_copies_come_by_the_schedule_with_one_id_and_times_of_their_own(rig: Rig) -> None:
    async with rig.workers(1, NS_RETRY_SCHEDULE="1s 2s 3s"):
        await rig.publish(rig.units(40, script=[500, 503, 502]))
        figures = await rig.account(sends=4)
    late = 0.0
    for posts in rig.accounts.posts().values():
        times = [int(headers(it)["webhook-timestamp"]) for it in posts]
        assert times == sorted(times)
        assert all(-1 <= post.arrived - said < patient(2) for post, said in zip(posts, times, strict=True))
        for (one, other), due in zip(pairwise(posts), (1.0, 2.0, 3.0), strict=True):
            waited = other.arrived - one.arrived
            assert waited >= 0.9 * due - 0.05
            late = max(late, waited - 1.1 * due)
    record(figure=f"{late:.1f} s late at most")
    assert late < patient(3)
    assert figures.amplification == 4


@row(62, "the connection is reset once the body was read", quick=False)
async def test_a_reset_after_the_body_is_unknown_and_sent_again_under_its_id(rig: Rig) -> None:
    async with rig.workers(1) as (worker,):
        await rig.publish(rig.units(20, script=["close"]))
        figures = await rig.account(sends=2)
        unknown = [it for it in worker.events if it["event"] == "notification.failed"]
    assert figures.amplification == 2
    assert [it["sent"] for it in unknown] == ["unknown"] * 20


# --- certificates -------------------------------------------------------------------------------------------------


def of_another_name(folder: Path) -> Certificate:
    return certificate(folder, "DNS:hooks.example")


def good(folder: Path) -> Certificate:
    return certificate(folder, "DNS:localhost")


def of_2020(folder: Path) -> Certificate:
    return expired(folder, "DNS:localhost")


@pytest.mark.parametrize(
    ("kind", "trusted", "why"),
    [
        pytest.param(of_2020, True, "expired", marks=row(66, "an expired certificate")),
        pytest.param(of_another_name, True, "mismatch", marks=row(66, "a certificate of another name", quick=False)),
        pytest.param(good, False, "self-signed", marks=row(66, "a self-signed certificate", quick=False)),
    ],
)
async def test_nothing_is_said_to_who_cannot_prove_to_be_the_one(
    rig: Rig, tmp_path: Path, kind: Callable[[Path], Certificate], why: str, *, trusted: bool
) -> None:
    made, port = kind(tmp_path / "made"), free_port()
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "own").write_bytes(made.certificate.read_bytes())
    authority = {"ca": "own"} if trusted else {}
    hooks = [rig.hook(url=f"https://localhost:{port}/", **authority) for _ in range(4)]
    async with (
        listening(port, "127.0.0.1", tls=made.serving()) as receiver,
        rig.workers(1, NS_CA_DIR=str(tmp_path / "ca")) as (worker,),
    ):
        await rig.publish([*units_for(rig, hooks), *rig.units(10)])
        await rig.account(dead={"exhausted": 4})
        errors = [it["error"] for it in worker.events if it["event"] == "notification.failed"]
    assert receiver.dialled == []
    assert all(why in it.lower() for it in errors), errors[0]


@row(69, "proxies and certificates in the environment", quick=False)
async def test_what_the_environment_says_of_proxies_and_certificates_is_ignored(rig: Rig) -> None:
    port = free_port()
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    said = dict.fromkeys(names, f"http://127.0.0.1:{port}") | {"NO_PROXY": "nowhere.example"}
    said |= {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/nowhere", "REQUESTS_CA_BUNDLE": "/nowhere"}
    async with listening(port, "127.0.0.1") as proxy, rig.workers(1, **said):
        await rig.publish([*rig.units(20), *mails(rig, 5)])
        await rig.account()
    assert proxy.dialled == []


# --- email --------------------------------------------------------------------------------------------------------


@row(73, "451, greylisting, 550, a drop after DATA", quick=False)
async def test_each_answer_of_a_mail_server_has_its_end_and_what_is_unknown_is_counted(rig: Rig) -> None:
    units = [*mails(rig, 5, script=[451]), *mails(rig, 5, script=[450]), *mails(rig, 5, script=["close"])]
    async with rig.workers(1) as (worker,):
        await rig.publish([*units, *mails(rig, 5, answer=550)])
        await rig.account(dead={"rejected": 5})
        failed = [it for it in worker.events if it["event"] == "notification.failed"]
    assert sorted(it["sent"] for it in failed) == ["answered"] * 10 + ["unknown"] * 5
    assert len(rig.inbox.emails) == 15


@row(73, "421: the mail server is closing", quick=False)
async def test_a_mail_server_that_closes_is_left_alone_and_no_letter_is_lost(rig: Rig) -> None:
    async with rig.workers(1):
        await rig.publish([*mails(rig, 3, script=[421]), *mails(rig, 5)])
        await rig.account(within=100)
    assert len(rig.inbox.emails) == 8


@row(73, "STARTTLS is stripped", quick=False)
async def test_without_encryption_a_mail_server_is_told_nothing(rig: Rig) -> None:
    async with Proxy(urlsplit(rig.inbox.smtp_url).port or 0) as server:
        said = server.when(asked("bytes", "MAIL", every=True), _as_it_is)
        async with rig.workers(1, NS_SMTP_URL=f"smtp://127.0.0.1:{server.port}"):
            await rig.publish(mails(rig, 4))
            await rig.account(dead={"exhausted": 4})
    assert said.seen == 0
    assert rig.inbox.emails == []


async def _as_it_is(passing: Passing) -> bytes:
    return passing.raw


@row(73, "a mail server greets late", quick=False)
async def test_a_mail_server_that_greets_late_is_waited_for_within_the_deadline(rig: Rig) -> None:
    async with Proxy(urlsplit(rig.inbox.smtp_url).port or 0) as server:
        server.hang()
        async with rig.workers(1, NS_SMTP_URL=f"smtp://127.0.0.1:{server.port}?starttls=none") as (worker,):
            await rig.publish(mails(rig, 10))
            failed = await worker.says("notification.failed")
            since = time.time()
            server.resume()
            await rig.account(since=since)
    assert failed["sent"] == "nothing"
    assert len(rig.inbox.emails) == 10


INJECTED = (
    "x\r\nBcc: evil@example.net",
    "x\nBcc: evil@example.net\n\nbody",
    "x\rBcc: evil@example.net",
    "x\u2028Bcc: evil@example.net",
    "x\x85Bcc: evil@example.net",
    "=?utf-8?q?a=0D=0ABcc:_evil@example.net?=",
    "=?utf-8?b?DQpCY2M6IGV2aWxAZXhhbXBsZS5uZXQ=?=",
    "x\x00\x0b\x0c\x1fBcc: evil@example.net",
    "a, evil@example.net, b",
    "long " * 400,
    "ü" * 1200,
)
ADDRESSES = (
    "a@example.com, evil@example.net",
    "a@example.com\r\nBcc: evil@example.net",
    "A <a@example.com>",
    '"a@b"@example.com',
    "=?utf-8?q?a?=@example.com",
    "a@example.com\x00",
    "a@[127.0.0.1]",
    "@evil.example.net:a@example.com",
)
OURS = {
    *("from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version", "content-type"),
    *("list-unsubscribe", "list-unsubscribe-post"),
}


@row(74, "headers and recipients in what is told of", quick=False)
async def test_nobody_writes_into_the_headers_of_a_letter_or_onto_its_envelope(rig: Rig) -> None:
    incidents = rig.sandbox.world.incidents
    units = []
    for number, text in enumerate(INJECTED):
        incident = incidents[f"inc-{number:05d}"]
        incident["location"]["thoroughfare"] = incident["status"] = text
        whose = {name: incident[name] for name in ("incident_id", "organization_id")}
        [made] = mails(rig, 1)
        units.append(made | whose | {"intel_request_id": None, "fingerprint": incident["modified"]})
    refused = [{"destination_id": f"r{n}", "channel": "email", "to": it} for n, it in enumerate(ADDRESSES)]
    async with rig.workers(1):
        await rig.publish([*units, *units_for(rig, refused)])
        await rig.account(dead={"schema": len(refused)})
    assert len(rig.inbox.emails) == len(INJECTED)
    for letter in rig.inbox.emails:
        assert len(letter.recipients) == 1
        assert {name.lower() for name in letter.message} <= OURS
        head = letter.raw.partition(b"\r\n\r\n")[0]
        assert max(map(len, head.split(b"\r\n"))) <= 998
        assert b"\r" not in head.replace(b"\r\n", b"")
        assert letter.message["to"] == letter.recipients[0]


@pytest.mark.parametrize(
    "ahead",
    [
        pytest.param(600, marks=row(71, "a process whose clock is ten minutes ahead")),
        pytest.param(-600, marks=row(71, "a process whose clock is ten minutes behind", quick=False)),
    ],
)
async def test_a_process_whose_clock_is_wrong_says_so_and_signs_with_the_fleets_time(
    rig: Rig, tmp_path: Path, ahead: int
) -> None:
    # Python runs this file before everything else.
    shifted = f"import time\nreal = time.time\ntime.time = lambda: real() + {ahead}\n"
    (tmp_path / "sitecustomize.py").write_text(shifted)
    async with rig.workers(1, PYTHONPATH=str(tmp_path)) as (worker,):
        await rig.publish([*rig.units(20), *rig.units(10, script=[500])])
        await rig.account(sends=2)
        off = await worker.says("clock.skewed")
    assert off["seconds"] == pytest.approx(-ahead, abs=patient(2))
    assert all(abs(post.arrived - int(headers(post)["webhook-timestamp"])) < patient(5) for post in rig.inbox.webhooks)
