"""What each field of a destination does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from notification_sender.sandbox.inbox.keys import signing_key
from notification_sender.sandbox.platform.tokens import Bound, origin
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.e2e.reading import headers, payload, posts_at, reasons
from tests.patience import patience, patient, slowness

Make = Callable[..., dict[str, Any]]


async def test_every_key_of_a_secret_signs_and_without_a_secret_nothing_does(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    current, former = signing_key("current"), signing_key("former")
    told = unit(destinations=[hook("signed", secret="rotated"), hook("open")])
    file = Path(environment["NS_SECRETS_DIR"]) / told["organization_id"] / "rotated"
    file.write_text(f"{current}\n{former}\n")
    async with fleet(environment), patience(30):
        await broker.publish([told])
        await sandbox.inbox.accepts(2)
    [signed], [unsigned] = posts_at(sandbox.inbox, "signed"), posts_at(sandbox.inbox, "open")
    entries = headers(signed)["webhook-signature"].split()
    assert [entry.partition(",")[0] for entry in entries] == ["v1", "v1"]
    for key, entry in zip((current, former), entries, strict=True):
        assert Webhook(key).verify(signed.body, headers(signed) | {"webhook-signature": entry})
    with pytest.raises(WebhookVerificationError):
        Webhook(signing_key("another")).verify(signed.body, headers(signed))
    assert "webhook-signature" not in headers(unsigned)
    assert {"webhook-id", "webhook-timestamp", "idempotency-key"} <= headers(unsigned).keys()
    assert not {"authorization", "traceparent"} & (headers(signed).keys() | headers(unsigned).keys())


async def test_a_refused_token_is_replaced_once_and_a_second_refusal_is_final(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    inbox, tokens = sandbox.inbox, sandbox.platform.tokens
    bound = Bound("guarded", unit()["organization_id"], origin(inbox.webhook_url("guarded")))
    inbox.admits = lambda name, said: name != "guarded" or tokens.admits(said, bound)
    for name in ("wall", "plain"):
        inbox.behaviours[name].answer = 401
    inbox.behaviours["closed"].answer = 403
    auth = {"auth": "outbound_token"}
    async with fleet(hasty), patience(30):
        await broker.publish([unit(destinations=[hook("guarded", **auth)])])
        await inbox.accepts(1)
        tokens.revoke()
        await broker.publish([unit(destinations=[hook("guarded", **auth)])])
        await inbox.accepts(2)
        refusing = [hook("wall", **auth), hook("closed", **auth), hook("plain")]
        await broker.publish([unit(destinations=refusing)])
        letters = await broker.dead(3)
    assert [post.answered for post in posts_at(inbox, "guarded")] == [200, 401, 200]
    assert {name: len(posts_at(inbox, name)) for name in ("wall", "closed", "plain")} == {
        "wall": 2,
        "closed": 2,
        "plain": 1,
    }
    assert reasons(letters) == dict.fromkeys(("wall", "closed", "plain"), "rejected")
    carried = [headers(post)["authorization"] for post in posts_at(inbox, "wall")]
    assert all(it.startswith("Bearer ") for it in carried)
    assert len(set(carried)) == 2
    assert "authorization" not in headers(posts_at(inbox, "plain")[0])


async def test_the_rate_of_a_destination_and_the_one_of_its_organization_and_channel_both_hold(
    *, sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make, mail: Make
) -> None:
    inbox = sandbox.inbox
    pace = slowness()  # as slow as the machine: what waits for no limit is to be done before
    slow = hook("slow", rate={"per_minute": 120 / pace, "burst": 1})
    limits = {"NS_THROTTLE_WEBHOOK": f"{600 / pace:.0f}/minute burst 5", "NS_THROTTLE_EMAIL": "60/minute burst 2"}
    units = [unit(destinations=[slow]) for _ in range(5)]
    units += [unit(destinations=[hook("quick")]) for _ in range(20)]
    units += [unit(channels=["email"], destinations=[mail("noc")]) for _ in range(3)]
    other = next(it for it in sandbox.world.incidents.values() if it["organization_id"] != units[0]["organization_id"])
    elsewhere = {name: other[name] for name in ("organization_id", "incident_id")} | {"intel_request_id": None}
    units += [unit(destinations=[hook("others")], **elsewhere) for _ in range(5)]
    async with fleet(environment | limits, 2), patience(60):
        await broker.publish(units)
        await inbox.accepts(len(units))
    arrived = sorted((post.arrived, post.destination_id) for post in inbox.webhooks)
    ours = [at for at, name in arrived if name != "others"]
    for window in (1.0, 2.0):
        at_slow = [at for at, name in arrived if name == "slow"]
        assert _most_in(at_slow, window) <= 1 + 2 / pace * (window + patient(0.25))
        assert _most_in(ours, window) <= 5 + 10 / pace * (window + patient(0.25))
    mails = sorted(letter.arrived for letter in inbox.emails)
    assert mails[2] - mails[0] > 0.75
    # Another organization has a burst of its own: it does not wait for ours.
    others = [at for at, name in arrived if name == "others"]
    assert max(others) < ours[-1]
    assert inbox.duplicates == 0


def _most_in(moments: list[float], window: float) -> int:
    return max(sum(start <= it <= start + window for it in moments) for start in moments)


async def test_a_template_is_a_folder_by_default_that_of_the_kind_and_an_unknown_one_is_dead(
    *, sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make, tmp_path: Path
) -> None:
    for name, text in {"intel": '{"said": "by kind"}', "brief": '{"said": "briefly"}'}.items():
        (tmp_path / "templates" / name).mkdir(parents=True)
        (tmp_path / "templates" / name / "webhook.json.j2").write_text(text)
    (tmp_path / "templates" / "intel" / "email.none").touch()
    environment |= {"NS_TEMPLATES_DIR": str(tmp_path / "templates")}
    by_kind = {name: value for name, value in hook("by-kind").items() if name != "template"}
    told = unit(destinations=[by_kind, hook("brief", template="brief"), hook("lost", template="nope")])
    odd = unit(destinations=[hook("odd", template="../intel")])
    async with fleet(environment), patience(30):
        await broker.publish([told, odd])
        await sandbox.inbox.accepts(2)
        letters = await broker.dead(2)
    assert reasons(letters) == {"lost": "render", odd["work_unit_id"]: "schema"}
    details = {it.headers["x-reason"]: str(it.headers["x-detail"]) for it in letters}
    assert "nope" in details["render"]
    assert "template" in details["schema"]
    assert {post.destination_id: payload(post)["data"]["said"] for post in sandbox.inbox.webhooks} == {
        "by-kind": "by kind",
        "brief": "briefly",
    }
