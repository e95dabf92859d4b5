"""Files that change while somebody relies on them."""

import errno
import os
from pathlib import Path

import pytest

from notification_sender.channels.watched_directory import RECHECK_SECONDS, WatchedDirectory
from notification_sender.model.errors import SetupFault, Unready


class Watch:
    """Seconds that a test sets."""

    time = 100.0

    def __call__(self) -> float:
        return self.time


def number(file: bytes) -> list[int]:
    return [int(file)]


def numbers(directory: Path | None, watch: Watch) -> WatchedDirectory[list[int]]:
    return WatchedDirectory(
        directory, what="number", option="NS_NUMBERS", reason="no_number", parse=number, monotonic=watch
    )


def test_a_file_is_read_again_when_it_changed_and_only_then(tmp_path: Path) -> None:
    file, watch = tmp_path / "n", Watch()
    file.write_text("1")
    folder = numbers(tmp_path, watch)
    assert folder.read("n") == [1]
    file.write_text("22")
    assert folder.read("n") == [1]
    watch.time += RECHECK_SECONDS
    kept = folder.read("n")
    assert kept == [22]
    watch.time += RECHECK_SECONDS
    assert folder.read("n") is kept


def test_a_folder_that_is_swapped_as_kubernetes_does_is_noticed(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "n").write_text(version)
        os.utime(tmp_path / version / "n", (1, 1))
    (tmp_path / "data").symlink_to("1")
    watch = Watch()
    folder = numbers(tmp_path / "data", watch)
    assert folder.read("n") == [1]
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").rename(tmp_path / "data")
    watch.time += RECHECK_SECONDS
    assert folder.read("n") == [2]


def test_what_cannot_be_used_is_nobodys_fault_but_ours_and_may_be_mended(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("none")
    watch = Watch()
    no_file, no_number = f"there is no {tmp_path / 'x' / 'n'}", f"{tmp_path / 'n'}: invalid"
    for directory, cause in ((None, "NS_NUMBERS is not set"), (tmp_path / "x", no_file), (tmp_path, no_number)):
        with pytest.raises(SetupFault, match=f"^the number 'n' cannot be used: {cause}") as caught:
            numbers(directory, watch).read("n")
        assert caught.value.reason == "no_number"
    folder = numbers(tmp_path, watch)
    with pytest.raises(SetupFault):
        folder.read("n")
    (tmp_path / "n").write_text("3")
    assert folder.read("n") == [3]


def test_the_first_that_is_there_counts_also_where_it_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "n").write_text("2")
    folder = numbers(tmp_path, watch := Watch())
    assert folder.read("one/n", "n") == [2]
    (tmp_path / "one" / "n").write_text("1")
    assert folder.read("one/n", "n") == [1]
    (tmp_path / "one" / "n").write_text("none")
    watch.time += RECHECK_SECONDS
    with pytest.raises(SetupFault, match="'one/n'"):
        folder.read("one/n", "n")
    (tmp_path / "one" / "n").unlink()
    assert folder.read("one/n", "n") == [2]


@pytest.mark.parametrize("number_", [errno.EMFILE, errno.ENFILE])
def test_that_no_more_files_can_be_opened_says_nothing_of_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number_: int
) -> None:
    def refuse(_: Path) -> bytes:
        raise OSError(number_, "too many")

    (tmp_path / "n").write_text("1")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(Unready):
        numbers(tmp_path, Watch()).read("n")
