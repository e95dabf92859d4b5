import re
from pathlib import Path

import aiohttp
import pytest

from notification_sender.sandbox import demo


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "UNITS", 8)
    monkeypatch.setattr(demo, "NOTIFICATIONS", 16)
    monkeypatch.setattr(demo, "settle_garbage", lambda: None)  # it is about the whole process


async def test_the_demo_ends_with_the_line_of_the_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await demo._demo(tmp_path, keep=False) == 0
    told = capsys.readouterr().out
    assert "16 of 16 accepted" in told
    assert told.splitlines()[-1] == "accounted for: 8 of 8 (delivered 8, suppressed 0, waiting 0, dead 0)"


async def test_what_was_not_delivered_shows_in_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "NOTIFICATIONS", 17)
    monkeypatch.setattr(demo, "DEADLINE", 0)
    assert await demo._demo(tmp_path, keep=False) == 1


async def test_kept_the_demo_shows_the_inbox_page_until_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = list[str]()

    async def interrupted() -> None:
        [url] = re.findall(r"The inbox page: (\S+)", capsys.readouterr().out)
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            seen.append(await response.text())

    monkeypatch.setattr(demo, "interrupted", interrupted)
    assert await demo._demo(tmp_path, keep=True) == 0
    assert seen[0].count('class="row"') == 16
