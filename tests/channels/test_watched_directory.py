"""Files that change while somebody relies on them."""

import os
from pathlib import Path

import pytest

from notification_sender.channels.folder import LOOK_EVERY, Folder
from notification_sender.model.errors import SendFailed, Sent


class Watch:
    """Seconds that a test sets."""

    time = 100.0

    def __call__(self) -> float:
        return self.time


def number(file: bytes) -> list[int]:
    return [int(file)]


def numbers(directory: Path | None, watch: Watch) -> Folder[list[int]]:
    return Folder(directory, what="number", option="NS_NUMBERS", parse=number, monotonic=watch)


def test_a_file_is_read_again_when_it_changed_and_only_then(tmp_path: Path) -> None:
    file, watch = tmp_path / "n", Watch()
    file.write_text("1")
    folder = numbers(tmp_path, watch)
    assert folder.read("n") == [1]
    file.write_text("22")
    assert folder.read("n") == [1]
    watch.time += LOOK_EVERY
    kept = folder.read("n")
    assert kept == [22]
    watch.time += LOOK_EVERY
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
    watch.time += LOOK_EVERY
    assert folder.read("n") == [2]


def test_what_cannot_be_used_is_nobodys_fault_but_ours_and_may_be_mended(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("none")
    watch = Watch()
    for directory, cause in ((None, "NS_NUMBERS is not set"), (tmp_path / "x", "No such file"), (tmp_path, "invalid")):
        with pytest.raises(SendFailed, match=f"^the number 'n' cannot be used: {cause}") as caught:
            numbers(directory, watch).read("n")
        assert (caught.value.sent, caught.value.ill) == (Sent.NOTHING, False)
    folder = numbers(tmp_path, watch)
    with pytest.raises(SendFailed):
        folder.read("n")
    (tmp_path / "n").write_text("3")
    assert folder.read("n") == [3]
