"""What a run stands on: that of the fault matrix, with APIs that write what other writers of JSON refuse."""

import pytest

from notification_sender.sandbox.platform import endpoints
from tests.faults.conftest import Record, broker, environment, rig, sandbox, unit
from tests.faults.rig import Rig
from tests.strangers import records
from tests.strangers.stage import Stage

__all__ = ["Record", "broker", "environment", "rig", "sandbox", "unit"]


@pytest.fixture
def stage(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Stage:
    refused: set[str] = set()
    # It would look for their destinations in a world whose records are odd.
    rig.inbox.admits = lambda _destination_id, _authorization: True
    monkeypatch.setattr(endpoints, "answer", records.answer)
    monkeypatch.setattr(endpoints, "_bulk", records.bulk_that_refuses(refused))
    return Stage(rig, refused)
