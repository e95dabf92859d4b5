"""When a certificate ends, read from its bytes: what openssl made, and what openssl says of it."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.certificates import end_of, ends_in_pem
from tests.services.certificates import certificate, chain, expired


def said_by_openssl(file: Path) -> float:
    words = ["openssl", "x509", "-enddate", "-noout", "-in", str(file)]
    said = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    when = datetime.strptime(said.stdout.strip(), "notAfter=%b %d %H:%M:%S %Y GMT")  # noqa: DTZ007 - GMT, below
    return when.replace(tzinfo=UTC).timestamp()


def test_the_end_is_the_one_that_openssl_says(tmp_path: Path) -> None:
    made = chain(tmp_path / "chain", "DNS:a.example")
    files = [expired(tmp_path / "old", "DNS:b.example").certificate, made.root, made.issuer, made.leaf.certificate]
    assert [ends_in_pem(file.read_text()) for file in files] == [[said_by_openssl(file)] for file in files]


def test_each_certificate_of_a_file_has_its_own_end(tmp_path: Path) -> None:
    files = [expired(tmp_path / "old", "DNS:a").certificate, certificate(tmp_path / "new", "DNS:a").certificate]
    text = "\n".join(f"# Aussteller: Müller\n{it.read_text()}" for it in files)
    assert ends_in_pem(text) == [said_by_openssl(it) for it in files]


def test_an_end_beyond_2049_is_read(tmp_path: Path) -> None:
    lasting = tmp_path / "lasting.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 20000 -subj /CN=x"
    command = ["openssl", *words.split(), "-keyout", str(tmp_path / "key"), "-out", str(lasting)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own
    assert ends_in_pem(lasting.read_text()) == [said_by_openssl(lasting)]


@given(st.binary(max_size=40))
def test_bytes_that_are_no_certificate_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        end_of(data)
