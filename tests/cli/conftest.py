import pytest

import notification_sender.app.commands
import notification_sender.app.run
from notification_sender.cli import main
from tests.cli.stand_in import App, Command, Ended

ENVIRONMENT = {
    "NS_AMQP_URL": "amqp://worker:hunter2@rabbit/vhost",
    "NS_REDIS_URL": "redis://redis/0",
    "NS_INCIDENTS_URL": "http://incidents.internal",
    "NS_INTEL_REQUESTS_URL": "http://intel.internal",
    "NS_ASSETS_URL": "http://assets.internal",
    "NS_AAA_URL": "http://aaa.internal",
    "NS_GEOCODING_URL": "http://geo.internal",
    "NS_AAA_CLIENT_ID": "worker",
    "NS_AAA_CLIENT_SECRET": "hunter2",
}


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    """In place of the real one, and a complete environment."""
    fake = App()
    monkeypatch.setattr(notification_sender.app, "commands", fake)
    monkeypatch.setattr(notification_sender.app.run, "run", fake.run)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return fake


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run one as an operator does."""

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        return Ended(ended.value.code or 0, printed.out, printed.err)

    return run
