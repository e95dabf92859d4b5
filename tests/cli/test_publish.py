import asyncio
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.app.preview import review_units
from notification_sender.cli.progress import WIDTH, Progress
from notification_sender.model.errors import Permanent, Unready
from notification_sender.model.unit import WorkUnit, decode
from notification_sender.settings import Settings
from tests.cli.conftest import ENVIRONMENT
from tests.cli.stand_in import App, Command, Ended

UNIT = {"work_unit_id": "w1", "organization_id": "o1", "incident_id": "i1"}


def publish(command: Command, tmp_path: Path, content: bytes) -> Ended:
    (tmp_path / "units").write_bytes(content)
    return command("publish", str(tmp_path / "units"))


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(UNIT),
        json.dumps(UNIT, indent=2) + "\n",
        f"{json.dumps(UNIT)}\n\n{json.dumps(UNIT)}\r\n",
        json.dumps([UNIT, UNIT, UNIT]),
        f"{json.dumps(UNIT, indent=2)}{json.dumps(UNIT)}",
    ],
    ids=["one", "one over many lines", "one a line", "an array", "one after another"],
)
def test_work_units_are_published_as_they_are(command: Command, app: App, tmp_path: Path, content: str) -> None:
    ended = publish(command, tmp_path, content.encode())
    bodies = app.asked[0]
    assert (ended.code, ended.out) == (0, f"published: {len(bodies)}\n")
    assert len(bodies) == content.count("w1")
    assert all(json.loads(body) == UNIT for body in bodies)


def test_one_bad_unit_keeps_all_from_being_published_and_each_fault_has_its_place(
    command: Command, app: App, tmp_path: Path
) -> None:
    bad = b'{"work_unit_id": "w 2", "organization_id": "o1", "incident_id": "i1"}'
    lines = b"\n".join([json.dumps(UNIT).encode(), bad, b'[{"x": 1}]', b"{broken", bad, b"{broken"])
    ended = publish(command, tmp_path, lines)
    assert (ended.code, ended.out, app.asked) == (1, "", [])
    first, *faults = [it for it in ended.err.splitlines() if not it.startswith("warning: ")]
    assert first == "nothing was published"
    assert [it.split(": ")[0] for it in faults] == [
        "line 2",
        "line 3, member 1",
        "line 4",
        "line 5",
        "line 6",
    ]
    assert "work_unit_id" in faults[0]
    assert "organization_id" in faults[1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no work unit"),
        (b"[]", "no work unit"),
        (b"{}\n\xff", "line 2: not UTF-8"),
        (b"\xef\xbb\xbf{}", "line 1: not JSON"),
        (b"[" * 100_000, "line 1: not JSON"),
        (b"17", "line 1: "),
        (b'{"work_unit_id": NaN}', "NaN is not JSON"),
    ],
)
def test_what_is_no_work_unit_is_refused(command: Command, app: App, tmp_path: Path, content: bytes, said: str) -> None:
    ended = publish(command, tmp_path, content)
    assert (ended.code, app.asked) == (1, [])
    assert said in ended.err


REFUSED = {
    "a kind": ({"kind": "intell"}, "no recipe 'intell', only intel; did you mean intel?"),
    "a channel": ({"channels": ["emial"]}, "no 'emial', only email, webhook; did you mean email?"),
    "nothing it is about": ({"incident_id": None}, "incident_id"),
    "no destination that can be": ({"destinations": [{"destination_id": "a", "channel": "sms"}]}, "no 'sms'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_worker_would_refuse_is_not_published(command: Command, app: App, tmp_path: Path, kind: str) -> None:
    fields, said = REFUSED[kind]
    ended = publish(command, tmp_path, "\n".join(map(json.dumps, (UNIT, UNIT | fields))).encode())
    assert (ended.code, ended.out, app.asked) == (1, "", [])
    assert ended.err.splitlines()[1].startswith("line 2: ")
    assert said in ended.err


HOOK = {"destination_id": "a", "channel": "webhook", "url": "https://example.com/"}
SLIPS = {
    "occured_at": ({"occured_at": "2026-03-06T08:26:00Z"}, "did you mean occurred_at?"),
    "batch.siez": ({"batch": {"id": "b", "size": 1, "siez": 2}}, "did you mean size?"),
    "destinations.tempalte": ({"destinations": [HOOK | {"tempalte": "brief"}]}, "did you mean template?"),
    "destinations.rate.brust": ({"destinations": [HOOK | {"rate": {"per_minute": 1, "brust": 2}}]}, "mean burst?"),
    "destinations.1": ({"destinations": [HOOK, {"destination_id": "b", "channel": "sms"}]}, "the others not"),
    "colour": ({"colour": "red"}, "is ignored"),
    "slice": ({"slice": None}, "is an unknown field"),
}


@pytest.mark.parametrize("name", SLIPS)
def test_what_a_worker_would_ignore_is_told_once_and_refused_if_asked(
    command: Command, app: App, tmp_path: Path, name: str
) -> None:
    fields, said = SLIPS[name]
    lines = "\n".join(json.dumps(UNIT | more) for more in ({}, fields, fields, fields)).encode()
    ended = publish(command, tmp_path, lines)
    assert (ended.code, ended.out) == (0, "published: 4\n")
    [warning] = ended.err.splitlines()
    assert warning.startswith(f"warning: line 2 and 2 more: {name}")
    assert said in warning
    app.asked.clear()
    refused = command("publish", "--strict", str(tmp_path / "units"))
    assert (refused.code, refused.out, app.asked) == (1, "", [])
    assert refused.err.splitlines() == ["nothing was published", warning.removeprefix("warning: ")]


@given(st.dictionaries(st.text(max_size=12), st.none() | st.integers() | st.text(max_size=3), max_size=4))
def test_whatever_else_is_in_a_unit_it_is_read_as_a_worker_reads_it(more: dict[str, object]) -> None:
    """Refused by both or by none; and each name that the worker drops is told."""
    body = json.dumps(UNIT | more).encode()
    try:
        decode(body)
        refused = False
    except Permanent:
        refused = True
    settings = Settings.load(ENVIRONMENT)
    [proof] = asyncio.run(review_units(settings, [body]))
    assert (proof.fault is not None) == refused
    known = {"kind", *WorkUnit.model_fields} - {"slice"}
    assert len(proof.warnings) == len(more.keys() - known) or refused


def test_whoever_is_cut_off_learns_how_far_it_came(command: Command, app: App, tmp_path: Path) -> None:
    app.answer, app.confirmed = Unready("RabbitMQ is away"), 2
    ended = publish(command, tmp_path, "\n".join([json.dumps(UNIT)] * 5).encode())
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines()[0] == "published 2 of 5, then line 3: RabbitMQ is away"


def test_progress_is_shown_to_people_alone(
    command: Command, app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "\n".join([json.dumps(UNIT)] * 50).encode()
    assert publish(command, tmp_path, lines).err == ""
    assert app.asked
    half, full = "━" * (WIDTH // 2) + "╌" * (WIDTH // 2), "━" * WIDTH
    for screen, shown in ((io.StringIO(), ""), (Terminal(), f"\r{half}  published 1 of 2\r{full}  published 2 of 2\n")):
        monkeypatch.setattr(sys, "stderr", screen)
        progress = Progress("published", 2, every=0.0)
        progress.one_more()
        progress.one_more()
        progress.end()
        assert screen.getvalue() == shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
