"""Signatures, judged by the specification's own library."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Judge

from notification_sender.channels.signing import Secrets, signature, signing_key
from notification_sender.model.errors import SchemaViolation, SetupFault

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
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "noc").write_text(f"# since May\n{OTHER}\r\n\n  {KEY}  \n# the end")
    assert Secrets(tmp_path).keys("acme", "noc") == (signing_key(OTHER), signing_key(KEY))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no"),
        ("", "holds no key"),
        ("# none yet\n", "holds no key"),
        ("plain", "whsec_"),
        ("é", "ASCII"),
    ],
)
def test_without_a_usable_key_nothing_is_sent_and_it_may_work_later(
    tmp_path: Path, content: str | None, says: str
) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "noc").write_text(KEY)
    if content is not None:
        (tmp_path / "acme" / "noc").write_text(content, encoding="utf-8")
    for shared in {"noc"} if content is not None else (), ():
        with pytest.raises(SetupFault, match=f"'acme/noc' cannot be used: .*{says}") as caught:
            Secrets(tmp_path, shared=shared).keys("acme", "noc")
        assert (caught.value.reason, str(tmp_path / "acme" / "noc") in str(caught.value)) == ("secret_missing", True)


def test_without_a_folder_nothing_is_sent() -> None:
    with pytest.raises(SetupFault, match="NS_SECRETS_DIR is not set"):
        Secrets(None).keys("acme", "noc")


def test_a_missing_file_is_named_with_what_to_do_about_it(tmp_path: Path) -> None:
    with pytest.raises(SetupFault) as caught:
        Secrets(tmp_path).keys("acme", "noc")
    assert str(caught.value) == (
        f"the signing secret 'acme/noc' cannot be used: there is no {tmp_path}/acme/noc: put it there, or let all "
        "organizations use a file 'noc' by NS_SHARED_SECRETS"
    )


IDS = st.from_regex(r"[A-Za-z0-9_:-]{1,8}", fullmatch=True)


@given(owner=IDS, asking=IDS, name=IDS, shared=st.sampled_from([(), {"*"}, "name"]), flat=st.booleans())
def test_a_key_signs_for_its_own_organization_or_for_all_where_that_is_said(
    *, owner: str, asking: str, name: str, shared: Any, flat: bool
) -> None:
    with TemporaryDirectory() as folder:
        directory = Path(folder)
        allowed = {name} if shared == "name" else shared
        assume(owner != name)
        (directory / owner).mkdir()
        (directory / owner / name).write_text(KEY)
        if flat:
            (directory / name).write_text(OTHER)
        try:
            signed = Secrets(directory, shared=allowed).keys(asking, name)
        except SetupFault:
            signed = None
    expected = {True: (signing_key(KEY),), False: (signing_key(OTHER),) if flat and allowed else None}
    assert signed == expected[asking == owner]


@pytest.mark.parametrize("swapped", ["folder", "file"])
def test_what_kubernetes_mounts_is_read_through_its_links(tmp_path: Path, swapped: str) -> None:
    (tmp_path / "..2026").mkdir()
    real = tmp_path / "..2026" / ("acme" if swapped == "folder" else "")
    real.mkdir(exist_ok=True)
    (real / "noc").write_text(KEY)
    (tmp_path / "..data").symlink_to("..2026")
    if swapped == "folder":
        (tmp_path / "acme").symlink_to("..data/acme")
    else:
        (tmp_path / "acme").mkdir()
        (tmp_path / "acme" / "noc").symlink_to("../..data/noc")
    assert Secrets(tmp_path).keys("acme", "noc") == (signing_key(KEY),)


def test_who_names_no_secret_is_unsigned_unless_that_is_refused(tmp_path: Path) -> None:
    assert Secrets(tmp_path).keys("acme", None) == ()
    with pytest.raises(SchemaViolation, match="NS_UNSIGNED=refuse"):
        Secrets(tmp_path, unsigned=False).keys("acme", None)
