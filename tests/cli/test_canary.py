"""What `canary` says of each step."""

import json

import pytest

from notification_sender.app.canary import CanaryResult
from tests.cli.stand_in import App, Command

OPTIONS = ("canary", "--organization", "org-1", "--incident", "inc-1", "--url", "https://sink.example/x")


@pytest.mark.parametrize(
    ("answer", "code", "last"),
    [
        (
            CanaryResult("canary-1", "delivered", "", {"queue": 4.0, "compose": 1200.5, "send": 20.0}),
            0,
            "  1,224.5 ms  in all: delivered",
        ),
        (
            CanaryResult("canary-1", "dead", "rejected", {"queue": 4.0}),
            1,
            "dead rejected; for all of it: notification-sender explain canary-1",
        ),
        (
            CanaryResult("canary-1", "waiting", "", {"queue": 4.0}),
            1,
            "not delivered within 5s; for all of it: notification-sender explain canary-1",
        ),
        (
            CanaryResult("canary-1", "waiting", "", {}),
            1,
            "no worker has taken it within 5s; for all of it: notification-sender explain canary-1",
        ),
    ],
)
def test_the_steps_are_listed_and_then_how_it_ended(
    command: Command, app: App, answer: CanaryResult, code: int, last: str
) -> None:
    app.answer = answer
    ended = command(*OPTIONS, "--within", "5s")
    assert (ended.code, ended.out.splitlines()[-1]) == (code, last)
    assert app.asked == [("org-1", "inc-1", "https://sink.example/x", {"within": 5.0})]
    assert json.loads(command(*OPTIONS, "--json").out)["steps"] == answer.steps
