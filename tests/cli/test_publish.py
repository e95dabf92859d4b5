import json
from pathlib import Path

import pytest
from cli.stand_in import App, Command, Ended

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
    lines = b"\n".join([json.dumps(UNIT).encode(), bad, b'[{"x": 1}]', b"{broken"])
    ended = publish(command, tmp_path, lines)
    assert (ended.code, ended.out, app.asked) == (1, "", [])
    first, *faults = ended.err.splitlines()
    assert first == "nothing was published"
    assert [it.split(": ")[0] for it in faults] == ["line 2", "line 3, member 1", "line 4"]
    assert "work_unit_id" in faults[0]
    assert "organization_id" in faults[1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no work unit"),
        (b"[]", "no work unit"),
        (b"\xff", "not UTF-8"),
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
