"""Which variable may name a file of TLS beside which URL."""

import re
from pathlib import Path

import pytest

from notification_sender.settings.tls import FILES, tls_files
from notification_sender.settings.tls_options import TlsOptions
from tests.settings.test_options import MAIL, REQUIRED, faults, load

SECURE = {"NS_AMQP_URL": "amqps://rabbit/", "NS_REDIS_URL": "rediss://redis/0"} | MAIL
HERE = __file__


def test_every_kind_of_connection_has_the_same_three_options() -> None:
    assert set(FILES) == {it for it in TlsOptions.model_fields if re.search(r"_(ca|cert|key)$", it)}


def test_each_file_is_known_by_the_variable_that_names_it() -> None:
    given = {f"NS_{name.upper()}": HERE for name in FILES}
    settings = load(**SECURE, **given)
    for connection in ("amqp", "redis", "api", "smtp"):
        found = tls_files(connection, settings)
        expected = {end: (Path(HERE), f"NS_{connection.upper()}_{end.upper()}") for end in ("ca", "cert", "key")}
        assert found == expected


def test_the_options_of_a_url_name_the_same_files() -> None:
    url = f"rediss://redis/0?ssl_ca_certs={HERE}&ssl_certfile={HERE}"
    found = tls_files("redis", load(**SECURE | {"NS_REDIS_URL": url, "NS_REDIS_KEY": HERE}))
    assert {end: given_by for end, (_, given_by) in found.items()} == {
        "ca": "NS_REDIS_URL ?ssl_ca_certs=",
        "cert": "NS_REDIS_URL ?ssl_certfile=",
        "key": "NS_REDIS_KEY",
    }


@pytest.mark.parametrize(
    ("given", "variable", "words"),
    [
        ({"NS_AMQP_CA": "/does/not/exist"}, "NS_AMQP_CA", "there is no file '/does/not/exist'"),
        ({"NS_REDIS_CERT": "/"}, "NS_REDIS_CERT", "'/' is not a file"),
        ({"NS_AMQP_URL": "amqp://rabbit/", "NS_AMQP_CA": HERE}, "NS_AMQP_CA", "needs amqps:// in NS_AMQP_URL"),
        ({"NS_REDIS_URL": "redis://redis/0", "NS_REDIS_CERT": HERE}, "NS_REDIS_CERT", "needs rediss://"),
        ({"NS_REDIS_KEY": HERE}, "NS_REDIS_KEY", "needs NS_REDIS_CERT"),
        ({"NS_API_KEY": HERE}, "NS_API_KEY", "needs NS_API_CERT"),
        ({"NS_SMTP_URL": "smtp://mail", "NS_SMTP_KEY": HERE}, "NS_SMTP_KEY", "needs NS_SMTP_CERT"),
        ({"NS_AMQP_URL": f"amqps://rabbit/?cafile={HERE}", "NS_AMQP_CA": HERE}, "NS_AMQP_CA", "set twice"),
    ],
)
def test_a_file_of_no_use_is_a_fault_that_says_what_to_do(given: dict[str, str], variable: str, words: str) -> None:
    assert words in faults(REQUIRED | SECURE | given)[variable]


def test_a_mail_server_without_tls_needs_no_authority() -> None:
    plain = {"NS_ENVIRONMENT": "development", "NS_SMTP_URL": "smtp://mail?starttls=none", "NS_SMTP_CA": HERE}
    assert "starttls=none" in faults(REQUIRED | SECURE | plain)["NS_SMTP_CA"]
    missing = {"NS_SMTP_CA": HERE}
    assert "needs NS_SMTP_URL" in faults(REQUIRED | missing)["NS_SMTP_CA"]
