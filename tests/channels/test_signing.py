"""Signatures, judged by the specification's own library."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Judge

from notification_sender.channels.signing import Secrets, signature, signing_key
from notification_sender.model.errors import SendFailed, Sent

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def test_the_known_vector() -> None:
    signed = signature([signing_key(KEY)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(key=st.binary(min_size=24, max_size=64), body=st.text())
def test_it_is_what_the_judge_signs(key: bytes, body: str) -> None:
    text = "whsec_" + base64.b64encode(key).decode()
    moment = datetime(2026, 3, 6, 8, 26, tzinfo=UTC)
    ours = signature([signing_key(text)], "id-1", int(moment.timestamp()), body.encode())
    assert ours == Judge(text).sign("id-1", moment, body)


def test_every_key_signs_so_that_either_recipient_is_content() -> None:
    now = int(datetime.now(UTC).timestamp())
    body = b'{"type":"incident.updated"}'
    headers = {
        "webhook-id": "id-1",
        "webhook-timestamp": str(now),
        "webhook-signature": signature([signing_key(OTHER), signing_key(KEY)], "id-1", now, body),
    }
    for key in (KEY, OTHER):
        assert Judge(key).verify(body, headers) == {"type": "incident.updated"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "starts with whsec_"),
        ("whsec_not base64!", "not base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "not base64"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "24 to 64 bytes, not 23"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "24 to 64 bytes, not 65"),
    ],
)
def test_a_key_that_is_none_is_refused_without_repeating_it(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        signing_key(text)
    assert text.removeprefix("whsec_") not in str(caught.value)


def test_a_file_has_a_key_a_line(tmp_path: Path) -> None:
    (tmp_path / "noc").write_text(f"# since May\n{OTHER}\r\n\n  {KEY}  \n# the end")
    assert Secrets(tmp_path).keys("noc") == (signing_key(OTHER), signing_key(KEY))


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file"), ("", "holds no key"), ("# none yet\n", "holds no key"), ("plain", "whsec_"), ("é", "")],
)
def test_without_a_usable_key_nothing_is_sent_and_it_may_work_later(
    tmp_path: Path, content: str | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "noc").write_text(content, encoding="utf-8")
    with pytest.raises(SendFailed, match=f"'noc' cannot be used: .*{says}") as caught:
        Secrets(tmp_path).keys("noc")
    assert caught.value.sent is Sent.NOTHING


def test_without_a_folder_nothing_is_sent() -> None:
    with pytest.raises(SendFailed, match="NS_SECRETS_DIR is not set"):
        Secrets(None).keys("noc")
