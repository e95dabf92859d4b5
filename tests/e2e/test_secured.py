"""The whole job over TLS with client certificates everywhere, by users who may do no more than a worker does."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.patience import patience
from tests.services.certificates import certificate, expired
from tests.services.program import HOST
from tests.services.rabbitmq import RabbitMQ
from tests.services.secured import Identities, Secured, behind_tls

COMMANDS = (
    "topology",
    "status",
    "why --json",
    "eta",
    "orgs --json",
    "audit --batch secured",
    "destinations list --json",
    "dead list",
    "throttle show org-x",
    "circuits --json",
    "pause --organization org-x --for 1h --yes",
    "resume --organization org-x --yes",
    "suppressions list --organization org-x",
)


@pytest.fixture
async def everywhere(
    environment: dict[str, str],
    identities: Identities,
    of_worker_rabbitmq: Secured,
    of_worker_redis: Secured,
    sandbox: Sandbox,
) -> AsyncIterator[dict[str, str]]:
    """A worker's variables: every connection that it opens is encrypted, and both sides prove who they are."""
    async with AsyncExitStack() as opened:
        urls = {}
        for name in sandbox.platform.urls:
            if name.endswith("_URL"):
                port = await opened.enter_async_context(behind_tls(environment[name], identities))
                urls[name] = f"https://{HOST}:{port}"
        mail = await opened.enter_async_context(behind_tls(sandbox.inbox.smtp_url, identities))
        urls |= {"NS_SMTP_URL": f"smtps://{HOST}:{mail}"}
        # Geocoding counts as a third party, which is shown no certificate of ours.
        urls["NS_GEOCODING_URL"] = environment["NS_GEOCODING_URL"]
        services = of_worker_rabbitmq.variables | of_worker_redis.variables
        yield environment | services | urls | identities.variables("API", "SMTP")


async def test_the_whole_job_is_done_over_tls_with_the_rights_of_a_worker(
    sandbox: Sandbox, everywhere: dict[str, str], broker: Broker
) -> None:
    async with fleet(everywhere, 2) as workers:
        await broker.publish(sandbox.world.work_units(50, batch_id="secured"))
        async with patience(90):
            await sandbox.inbox.accepts(100)
        codes = [await worker.stop() for worker in workers]
    assert codes == [0, 0]
    assert (len(sandbox.inbox.accepted), sandbox.inbox.duplicates) == (100, 0)
    assert [await broker.depth(it) for it in ("units", "notifications", "dead")] == [0, 0, 0]
    said = [event for worker in workers for event in worker.events]
    assert [it for it in said if it["event"] == "connection.unencrypted"] == []
    assert [it["event"] for it in said if "NOPERM" in str(it) or "ACCESS_REFUSED" in str(it)] == []
    ended = {line: await command(everywhere, *line.split()) for line in COMMANDS}
    assert {line: it.err + it.out for line, it in ended.items() if it.code not in {0, 1}} == {}
    assert [line for line, it in ended.items() if "NOPERM" in it.err + it.out or "refuses" in it.err + it.out] == []


async def test_check_says_when_certificates_end_and_warns_a_month_before(everywhere: dict[str, str]) -> None:
    checked = await command(everywhere, "check", "--json")
    said = json.loads(checked.out)
    details = {it["name"]: it for it in said["probes"]}
    assert checked.code == 0, checked.out
    for name, variable in {"rabbitmq": "NS_AMQP", "redis": "NS_REDIS", "aaa": "NS_API", "smtp": "NS_SMTP"}.items():
        assert details[name]["warning"], details[name]
        for whose in ("the server's certificate", f"{variable}_CA", f"{variable}_CERT"):
            assert f"{whose} ends on 2" in details[name]["detail"]
    assert "the server's certificate ends on" in details["incidents"]["detail"]
    assert not details["lua"]["warning"]
    table = await command(everywhere, "check")
    words = {line.split()[1]: line.split()[0] for line in table.out.splitlines()}
    assert (words["rabbitmq"], words["lua"], words["geocoding"]) == ("warn", "ok", "ok")


async def test_every_command_refuses_a_server_in_one_line_that_says_what_to_do(
    everywhere: dict[str, str], rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    old, unknown = expired(tmp_path / "old", f"IP:{HOST}"), certificate(tmp_path / "unknown", f"IP:{HOST}")
    port = rabbitmq.listen_with_tls(old)
    broken = {
        "NS_AMQP_URL": f"amqps://guest:guest@{HOST}:{port}/",
        "NS_AMQP_CA": str(old.certificate),
        "NS_REDIS_CA": str(unknown.certificate),
        "NS_API_CA": str(unknown.certificate),
        "NS_SMTP_CA": str(unknown.certificate),
    }
    of_rabbitmq = f"{HOST}:{port} (NS_AMQP_URL): the certificate of RabbitMQ is not trusted: certificate has expired"
    checked = await command(everywhere | broken, "check", "--json")
    faults = {it["name"]: it["detail"] for it in json.loads(checked.out)["probes"] if not it["ok"]}
    assert checked.code == 1
    assert faults.keys() == {"rabbitmq", "redis", "smtp", "aaa", "incidents", "intel_requests", "assets"}
    assert faults["rabbitmq"].startswith(of_rabbitmq)
    assert all("not trusted" in it for it in faults.values()), faults
    advice = {"redis": "NS_REDIS_CA", "aaa": "NS_API_CA", "smtp": "NS_SMTP_CA"}
    assert all(
        f"write the certificate of its authority into the file of {it}" in faults[name] for name, it in advice.items()
    )
    for line in ("run", "topology", "dead list", "audit --batch b", "destinations list", "why"):
        ended = await command(everywhere | broken, *line.split())
        [said] = [it for it in ended.err.splitlines() if "not trusted" in it]
        assert (line, ended.code) == (line, 78), ended.err
        assert of_rabbitmq in said or "the certificate of Redis is not trusted: " in said
