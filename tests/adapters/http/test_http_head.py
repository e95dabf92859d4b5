"""Whatever is asked to be sent: one request line, and no header that nobody gave."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.adapters.http.transport import _head, _Route
from notification_sender.model.errors import TransportError

OWN = ["host", "accept-encoding", "content-length"]
PIECES = [
    "a",
    "b: c",
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
    ":",
    " ",
    "\t",
    "\x00",
    "\x0b",
    "\x85",
    "\u2028",
    "\xe9",
    "\ud800",
]
TEXTS = st.text() | st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
NAMES = st.from_regex(r"[A-Za-z0-9-]{1,20}", fullmatch=True)
URLS = st.lists(st.sampled_from([*PIECES, "/", "?", "#", "@", "[::1]", "%0d%0a", "HTTP/1.1"]), max_size=8).map("".join)


@given(URLS.map(lambda it: f"http://{it}") | URLS.map(lambda it: f"http://h/{it}"), st.lists(st.tuples(NAMES, TEXTS)))
@pytest.mark.long
async def test_nothing_that_is_sent_becomes_a_line_of_its_own(url: str, headers: list[tuple[str, str]]) -> None:
    with suppress(TransportError):
        lines = _head("POST", _Route.to(url, None), headers, 7).decode("ascii").split("\r\n")
        request, *fields, end, nothing = lines
        assert (end, nothing) == ("", "")
        assert re.fullmatch(r"POST [!-~]+ HTTP/1\.1", request)
        assert [it.partition(":")[0] for it in fields] == [OWN[0], *(name for name, _ in headers), *OWN[1:]]
        assert re.fullmatch(r"host: [!-~]*", fields[0])
        assert [it.partition(": ")[2] for it in fields[1:-2]] == [value for _, value in headers]
        assert all(re.fullmatch(r"[ -~]*", it) for it in fields)
