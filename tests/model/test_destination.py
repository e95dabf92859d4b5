"""How a recipient is known to the store."""

import pytest

from notification_sender.model.destination import recipient_hash


@pytest.mark.parametrize("written", ["noc@example.com", " NOC@Example.com\n", "Noc@EXAMPLE.COM"])
def test_a_mail_address_has_one_hash_in_any_letter_case(written: str) -> None:
    assert recipient_hash(written) == "368509b3b4a55859c24a6a9530b56564"


def test_two_mail_addresses_have_two_hashes() -> None:
    assert recipient_hash("noc@example.com") != recipient_hash("noc@example.org")
