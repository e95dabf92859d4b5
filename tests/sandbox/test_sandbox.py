import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import aiohttp
import pytest

from notification_sender.model.unit import decode
from notification_sender.sandbox.control import Control
from notification_sender.sandbox.inbox.inbox import ReceivedWebhook
from notification_sender.sandbox.inbox.mailbox import ReceivedEmail
from notification_sender.sandbox.inbox.samples import write_samples
from notification_sender.sandbox.report import Report, report, summary
from notification_sender.sandbox.sandbox import Sandbox
from tests.patience import patience

FAULTLESS = {"units": 2, "expected": 4, "seconds": 2.0, "calls": {"POST /assets/bulk": 3}, "forbidden": 0, "leaked": 0}
FAULTLESS |= {"webhooks": 2, "emails": 2, "duplicates": 0, "verified": 2, "unverified": 0}


async def test_the_parts_point_to_one_another(tmp_path: Path) -> None:
    async with Sandbox(tmp_path, organizations=3, incidents=3) as sandbox, aiohttp.ClientSession() as http:
        hooks = [it for it in sandbox.world.destinations.values() if it["channel"] == "webhook"]
        statuses = {it.get("auth"): (await http.post(it["url"], data=b"{}")).status for it in hooks}
        assert statuses == {None: 200, "outbound_token": 401}
        assert sandbox.environment["NS_ENVIRONMENT"] == "development"
        assert sandbox.environment["NS_SECRETS_DIR"] == str(tmp_path / "secrets")
    for organization_id, names in sandbox.world.secrets.items():
        for name in names:
            assert (tmp_path / "secrets" / organization_id / name).read_text().startswith("whsec_")
    assert sandbox.world.secret_names == [it["secret"] for it in hooks]


async def test_a_running_sandbox_is_asked_and_turned_through_its_control(tmp_path: Path) -> None:
    async with Sandbox(tmp_path, incidents=3) as sandbox, aiohttp.ClientSession() as http:
        control = Control(sandbox)
        async with control.server.serving():
            url = control.server.url
            for name in ("ASSETS", "hook-exemple-reseau"):
                assert (await http.post(f"{url}/behaviours/{name}", json={"script": [503]})).status == 200
            assert (await http.post(f"{url}/behaviours/NOBODY", json={})).status == 404
            assert (await http.post(f"{url}/behaviours/ASSETS", json={"latencey": 1})).status == 422
            base = sandbox.environment["NS_ASSETS_URL"]
            assert (await http.post(f"{base}/assets/bulk", json={})).status == 503
            assert (await http.post(sandbox.inbox.webhook_url("hook-exemple-reseau"), data=b"")).status == 503
            seen = await (await http.get(f"{url}/report")).json()
            assert "hook-exemple-reseau" in await (await http.get(f"{url}/")).text()
        assert (seen["calls"], seen["peaks"]["POST /assets/bulk"]) == ({"POST /assets/bulk": 1}, 1)


async def test_a_report_counts_what_platform_and_recipients_saw(tmp_path: Path) -> None:
    async with Sandbox(tmp_path, incidents=3) as sandbox:
        seen = report(sandbox.platform, sandbox.inbox, units=1, expected=0, seconds=1)
    assert (seen.faultless, seen.total_calls) == (True, 0)


@pytest.mark.parametrize("fault", ["duplicates", "unverified", "forbidden", "leaked", "emails"])
def test_one_fault_is_enough_not_to_be_faultless(fault: str) -> None:
    assert Report(**FAULTLESS).faultless
    assert not Report(**FAULTLESS | {fault: FAULTLESS[fault] + 1}).faultless


def test_a_summary_says_calls_a_unit_and_what_sharing_saved() -> None:
    text = summary(Report(**FAULTLESS))
    assert "3 in all, 1.50 a unit" in text
    assert "6 calls at least if no unit shared a fact (3 a unit): 50% saved" in text
    assert "forbidden" not in text


async def test_samples_are_files_that_a_person_can_open(tmp_path: Path) -> None:
    message = EmailMessage()
    message.set_content("text")
    message.add_alternative("<p>Łódź</p>", subtype="html")
    async with Sandbox(tmp_path, incidents=3) as sandbox:
        sandbox.inbox.webhooks.append(
            ReceivedWebhook("hook-x", (("webhook-id", "n-1"),), b'{"type":"a"}', 0, 200, None)
        )
        sandbox.inbox.emails.append(ReceivedEmail("a", ("b",), message.as_bytes(), 0))
        files = {it.name: it.read_bytes() for it in write_samples(sandbox.inbox, tmp_path / "samples")}
    assert json.loads(files["webhook.json"]) == {"headers": {"webhook-id": "n-1"}, "body": {"type": "a"}}
    assert files["email.html"].decode() == "<p>Łódź</p>\n"
    assert files["email.eml"].startswith(b"MIME-Version")


def test_the_command_writes_work_units_as_json_lines() -> None:
    command = [sys.executable, "-m", "notification_sender.sandbox", "--units", "5", "--seed", "2"]
    done = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - the command is written here
    lines = done.stdout.splitlines()
    assert [decode(line).work_unit_id for line in lines] == [f"wu-2-{number:06d}" for number in range(5)]


async def test_the_command_serves_until_interrupted_and_prints_what_to_export() -> None:
    command = ("-m", "notification_sender.sandbox", "--port", "0", "--incidents", "3")
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    exports = dict[str, str]()
    async with patience(30):
        while (line := (await process.stdout.readline()).decode()).startswith("export "):
            name, _, value = line.removeprefix("export ").strip().partition("=")
            exports[name] = value
        async with aiohttp.ClientSession() as http:
            assert (await http.get(exports["NS_AAA_URL"] + "/organizations/x")).status == 401
        os.kill(process.pid, signal.SIGTERM)
        assert await process.wait() == 0
    assert {"NS_INCIDENTS_URL", "NS_SMTP_URL", "NS_SECRETS_DIR", "NS_AAA_CLIENT_SECRET"} <= exports.keys()


async def test_another_host_is_in_every_url_and_its_address_alone_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(tmp_path, host="127.0.0.2", incidents=3) as sandbox, aiohttp.ClientSession() as http:
        control = Control(sandbox)
        async with control.server.serving():
            urls = [
                control.server.url + "/report",
                sandbox.environment["NS_AAA_URL"],
                sandbox.inbox.webhook_url("hook-x"),
            ]
            assert [(await http.get(url)).status for url in urls] == [200, 401, 405]
            assert all(url.startswith("http://127.0.0.2:") for url in urls)
        assert sandbox.environment["NS_SMTP_URL"].startswith("smtp://127.0.0.2:")
        assert sandbox.environment["NS_ALLOWED_CIDRS"] == "127.0.0.0/8"
        monkeypatch.setattr(socket, "gethostbyname", lambda _: "172.30.17.3")
        assert sandbox.environment["NS_ALLOWED_CIDRS"] == "172.30.17.3/32"


async def test_the_command_writes_signing_keys_to_the_given_directory_and_leaves_them(tmp_path: Path) -> None:
    command = ("-m", "notification_sender.sandbox", "--port", "0", "--incidents", "3", "--directory", str(tmp_path))
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    async with patience(30):
        while not (line := await process.stdout.readline()).startswith(b"# what it saw"):
            assert line
        os.kill(process.pid, signal.SIGTERM)
        assert await process.wait() == 0
    assert set(_keys_begin(tmp_path)) == {"whsec_"}


def _keys_begin(directory: Path) -> list[str]:
    return [it.read_text()[:6] for it in directory.glob("secrets/*/*")]
