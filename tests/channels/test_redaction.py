"""What is kept of an answer: short, one line, and nothing that is for nobody's eyes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.channels.redaction import KEPT_BYTES, READ_BYTES, excerpt

TOKEN = "mF_9.B5f-4.1JqM"


@given(st.binary(max_size=3 * KEPT_BYTES))
def test_it_is_one_line_of_a_kib_at_most(answer: bytes) -> None:
    kept = excerpt(answer)
    assert len(kept.encode()) <= KEPT_BYTES
    assert kept.isprintable()
    assert kept == " ".join(kept.split())


@pytest.mark.parametrize(
    "secret",
    [
        *("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", f"v1,{'Zm9v' * 11}=", "eyJhbGciOi.payload.sign"),
        *("bearer abcdefgh", "Basic dXNlcjpwYXNz", "noc@example.com", "noc%40example.com", "jörg@zürich.example"),
    ],
)
def test_what_looks_like_a_secret_is_blotted_out(secret: str) -> None:
    assert excerpt(f'{{"error":"no","got":"{secret}"}}'.encode()) == '{"error":"no","got":"[redacted]"}'


@pytest.mark.parametrize("before", range(READ_BYTES - len(TOKEN) - 3, READ_BYTES + 1))
def test_a_secret_that_is_cut_in_two_is_not_kept_in_part(before: int) -> None:
    # What stands before it shrinks as it is blotted out, so that the cut moves into what is kept.
    filling = " ".join(["bearer", "x" * (before - len("bearer  "))]) + " "
    kept = excerpt(filling.encode() + TOKEN.encode() + b" and more", private=[TOKEN])
    assert "mF_" not in kept
    assert kept.startswith("[redacted]")


def test_words_too_short_for_a_secret_stay() -> None:
    assert excerpt(b"no hook of this name", private=["https://a.example/hook/this", "Bearer"]) == "no hook of this name"
