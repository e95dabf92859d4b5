"""What `orgs`, `cache` and `erase` print, ask and announce."""

import json

from notification_sender.adapters.redis.records import CacheUse, OrganizationState
from notification_sender.app.records import Erased
from notification_sender.model.destination import recipient_hash
from tests.cli.stand_in import App, Command
from tests.policy.fleets import override

MOMENT = 1_772_785_560.0
BUSY = OrganizationState("org-1", 3, 4210, {"webhook": 4200}, MOMENT, {"webhook": MOMENT + 60}, due=7)


def test_organizations_are_a_table_with_their_share_and_what_holds_them_up(command: Command, app: App) -> None:
    held = OrganizationState(
        "org-22", reasons={"secret_missing": 2.5}, overrides=[override("pause", "organization/org-22")]
    )
    app.answer = [BUSY, OrganizationState("org-3", claimed=1), held]
    assert command("orgs").out.splitlines() == [
        "organization  claimed  share  waiting  due now                  next",
        "org-1               3    75%    4,210        7  2026-03-06T08:26:00Z",
        "org-3               1    25%        0        0                     -",
        "org-22              0     0%        0        0                     -",
        "",
        "What they wait for",
        "  org-1   rate of webhook until 2026-03-06T08:27:00Z (4,200 wait)",
        "  org-22  paused until 2026-03-06T08:36:00Z",
        "          secret_missing (2.5)",
    ]
    first, second, _ = json.loads(command("orgs", "--json").out)
    assert (first["claimed"], first["share"], first["due"]) == (3, 0.75, 7)
    assert first["booked_until"] == {"webhook": "2026-03-06T08:27:00Z"}
    assert (second["next_due"], second["limits"]) == (None, {})
    app.answer = []
    assert command("orgs").out == "no organization has anything claimed or waiting\n"
    ended = command("orgs", "--organization", "nope")
    assert (ended.code, ended.out, ended.err.partition(":")[0]) == (1, "", "nope")


def test_the_cache_is_counted_by_kind_and_purged_with_a_yes(command: Command, app: App) -> None:
    app.answer = [CacheUse("incident", 1200, 1100, 2048, 1), CacheUse("asset", 3, 3, 10)]
    assert command("cache", "stats").out.splitlines() == [
        "incident      1,200 facts          2.0 KiB  1,100 fresh, 1 being fetched",
        "asset             3 facts          0.0 KiB  3 fresh",
    ]
    app.answer = 7
    assert command("cache", "purge", "org-1").code == 2
    purged = command("cache", "purge", "org-1", "--yes", "--by", "anna")
    assert (purged.code, purged.out) == (0, "purged: 7 facts\n")
    [event] = app.announced
    assert (event.change, event.subject, event.by, event.count) == ("purged", "cache/org-1", "anna", 7)
    app.answer = 0
    assert command("cache", "purge", "org-1", "--yes").code == 1


def test_records_are_erased_with_a_yes_and_no_event_has_the_address(command: Command, app: App) -> None:
    app.answer = Erased({"notification": 2, "story": 0}, 1)
    assert command("erase", "--organization", "org-1").code == 2
    erased = command("erase", "--organization", "org-1", "--recipient", "noc@example.com", "--yes")
    assert erased.code == 0
    assert erased.out.splitlines()[0] == "erased: 2 notification, 1 dead letters"
    assert app.asked == [("org-1", recipient_hash("noc@example.com"))]
    [event] = app.announced
    assert (event.change, event.subject, event.count) == ("erased", "recipient/org-1", 3)
    assert "noc" not in str(event)
