"""Chromium without a window: it loads a page as a person would, and says what it made of it."""

import asyncio
import tempfile
from pathlib import Path

from tests.patience import patience
from tests.services.program import find

DARK, LIGHT = 0, 1
"""Values of its setting ``preferredColorScheme``."""

LOADED = 3_000
"""Milliseconds of its own virtual time: what a page starts later is not seen."""

SECONDS = 30.0
"""On a quiet machine it takes about one."""

OPTIONS = (
    "--headless",
    "--no-sandbox",  # the tests may run as root, and it shows nothing but our own pages
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    f"--virtual-time-budget={LOADED}",
)


class Chromium:
    """Raises MissingProgramError where it is not installed."""

    def __init__(self) -> None:
        self._program = find("chromium")

    async def dom(self, url: str) -> str:
        """The document once it was loaded."""
        return (await self._run("--dump-dom", url)).decode()

    async def picture(self, url: str, size: tuple[int, int], scheme: int) -> bytes:
        """A PNG of the page in a window of that width and height."""
        colours = f"--blink-settings=preferredColorScheme={scheme}"
        with tempfile.TemporaryDirectory(prefix="chromium-") as folder:
            file = Path(folder) / "page.png"
            await self._run(f"--screenshot={file}", f"--window-size={size[0]},{size[1]}", colours, url)
            return await asyncio.to_thread(file.read_bytes)

    async def _run(self, *arguments: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
            command = (self._program, *OPTIONS, f"--user-data-dir={profile}", *arguments)
            pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
            process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=null)
            try:
                async with patience(SECONDS):
                    out, _ = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        assert process.returncode == 0
        return out
