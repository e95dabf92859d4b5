"""No byte leaves for an address that is not for recipients, however it is written, whatever its name says today."""

import os
import secrets
import subprocess
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.e2e.listener import listening
from tests.e2e.reading import reasons
from tests.faults.rows import row
from tests.patience import patience
from tests.services.names import A, naming
from tests.services.program import free_port

Make = Callable[..., dict[str, Any]]

OURS = "127.0.0.2"
"""The one address that the worker may dial here: to see that a listener would notice."""

INSIDE = """
    0.0.0.1 10.1.2.3 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1
    198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255
""".split()  # noqa: SIM905 - a table is read more easily than quoted strings

INSIDE_V6 = """
    :: ::1 ::7f00:1 ::ffff:7f00:1 ::ffff:0:7f00:1 64:ff9b::7f00:1 64:ff9b:1::7f00:1 100::1 2001::1 2001:db8::1
    2002:7f00:1::1 3fff::1 5f00::1 fc00::1 fd00::1 fe80::1 fec0::1 ff02::1
    fe80::1%25lo ::1%25lo fe80::1%lo ::ffff:127.0.0.1 ::127.0.0.1 0:0:0:0:0:0:0:1
""".split()  # noqa: SIM905 - as above

ODD = [
    *("https://localhost:{port}/", "https://LOCALHOST:{port}/"),
    *("https://someone@127.0.0.1:{port}/", "https://hooks.example:443@127.0.0.1:{port}/", "https://@127.0.0.1:{port}/"),
    *("https://hooks.example%00@127.0.0.1:{port}/", "https://127.0.0.1:{port}\\@hooks.example/"),
    *("https://127.0.0.1%20:{port}/", "https://127.0.0.1%2f:{port}/", "https://\t127.0.0.1:{port}/"),
    *("https://127。0。0。1:{port}/", "https://①②⑦.⓪.⓪.①:{port}/", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/"),
    *("https://١٢٧.0.0.1:{port}/", "https://127.0.0.1\u00ad:{port}/", "https://loc\u200balhost:{port}/"),
    *("http:127.0.0.1:{port}/", "https:///127.0.0.1:{port}/", "//127.0.0.1:{port}/", "127.0.0.1:{port}"),
    *("gopher://127.0.0.1:{port}/", "file:///etc/passwd", "ftp://127.0.0.1:{port}/", "unix:///run/x", ""),
    *("https://[::1:{port}/", "https://::1:{port}/", "https://[127.0.0.1]:{port}/", "https://[v1.x]:{port}/"),
    *("http://127.0.0.1:{port}/", "http://8.8.8.8:{port}/", "http://127.0.0.1:{port}\r\nHost: x/"),
]


def notations(dotted: str) -> list[str]:
    """All the ways in which somebody, somewhere, takes a text for this address."""
    number, bytes_ = int(IPv4Address(dotted)), [int(it) for it in dotted.split(".")]
    high, low = number >> 16, number & 0xFFFF
    return [
        *(dotted, f"{dotted}.", str(number), hex(number), f"0{number:o}"),
        *(".".join(map(hex, bytes_)), ".".join(f"0{it:o}" for it in bytes_), ".".join(f"{it:03}" for it in bytes_)),
        *(f"{bytes_[0]}.{number & 0xFFFFFF}", f"{bytes_[0]}.{bytes_[1]}.{low}"),
        *(f"[::ffff:{dotted}]", f"[::ffff:{high:x}:{low:x}]", f"[64:ff9b::{dotted}]", f"[2002:{high:x}:{low:x}::1]"),
    ]


def table(port: int) -> list[str]:
    hosts = [host for dotted in INSIDE for host in notations(dotted)] + [f"[{it}]" for it in INSIDE_V6]
    hosts += ["127.1", "0x7f.1", "0177.1", "0", "0x0", "127.0.0.1.."]
    return [f"https://{host}:{port}/" for host in hosts] + [url.format(port=port) for url in ODD]


@row(67, "every notation of every address that is inside")
async def test_no_notation_of_an_inside_address_is_dialled(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make
) -> None:
    port, made = free_port(), unit()
    urls = {f"d-{row}": url for row, url in enumerate(table(port))}
    urls["control"] = f"http://{OURS}:{port}/"
    own = [{"destination_id": name, "channel": "webhook", "url": url} for name, url in urls.items()]
    sandbox.world.organizations[made["organization_id"]]["destinations"] = own
    # On the listeners' own port, so that nothing but the address can be what is refused.
    only = {"NS_ALLOWED_CIDRS": f"{OURS}/32", "NS_WEBHOOK_PORTS": str(port), "NS_RETRY_SCHEDULE": "1s"}
    async with listening(port, "0.0.0.0", "::") as sentinel, fleet(environment | only) as (worker,):
        await broker.publish([made])
        async with patience(60):
            letters = await broker.dead(len(urls) - 1)
            await worker.says("notification.delivered", destination_id="control")
    died = {urls[name]: reason for name, reason in reasons(letters).items()}
    assert len(died) > 60
    assert {url: why for url, why in died.items() if why not in {"forbidden_address", "schema"}} == {}
    assert died[f"https://127.0.0.1:{port}/"] == "forbidden_address"
    assert sentinel.dialled == [OURS]


# --- names that change their mind -------------------------------------------------------------------------

NAMES = {
    # Ours when it is asked first, inside when it is asked again: the second try has to notice.
    "turns.test": [[OURS], ["127.0.0.1"]],
    "inside.test": [["127.0.0.1"]],
    "zero.test": [["0.0.0.0"]],
    "private.test": [["10.1.2.3"]],
    "metadata.test": [["169.254.169.254"]],
    "mixed.test": [[OURS, "127.0.0.1"]],
    "mixed-after.test": [[OURS, OURS, "127.0.0.1"]],
    "mixed-before.test": [["127.0.0.1", OURS]],
    "chain.test": [["chain-2.test"]],
    "chain-2.test": [["chain-3.test"]],
    "chain-3.test": [["127.0.0.1"]],
    "chain-mixed.test": [["mixed.test"]],
    "six.test": [["::1"]],
    "six-mapped.test": [["::ffff:127.0.0.1"]],
    "six-translated.test": [["64:ff9b::7f00:1"]],
    "six-and-four.test": [["127.0.0.1", "::1"]],
    "127.0.0.1.test": [["127.0.0.1"]],
    "localhost": [["127.0.0.1"]],
    "ours.test": [[OURS]],
}
HALFWAY = {"chain-2.test", "chain-3.test"}
ALLOWED_AT_FIRST = {"turns.test", "ours.test"}


@pytest.fixture
def own_resolver(tmp_path: Path) -> tuple[str, list[str]]:
    """An address for a name server, and the command under which a process asks no other one."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0:  # noqa: S607
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("needs root, for a resolv.conf of its own")
    host = f"127.{secrets.randbelow(100) + 100}.{secrets.randbelow(250)}.{secrets.randbelow(250) + 1}"
    (tmp_path / "resolv.conf").write_text(f"nameserver {host}\noptions timeout:1 attempts:1\n")
    become = f'mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && exec "$@"'
    return host, ["unshare", "-m", "sh", "-c", become, "sh"]


@row(68, "names that point inside, now or later")
async def test_a_name_that_points_inside_is_not_dialled_today_or_tomorrow(
    environment: dict[str, str], broker: Broker, unit: Make, own_resolver: tuple[str, list[str]]
) -> None:
    resolver, under = own_resolver
    port = free_port()
    hosts = {it.replace(".", "_"): it for it in NAMES if it not in HALFWAY} | {
        "dot": "inside.test.",
        "dot-2": "localhost.",
    }
    made = [{"destination_id": it, "channel": "webhook", "url": f"http://{host}:{port}/"} for it, host in hosts.items()]
    # The second try comes when no answer of the name server is kept any more, though it is good for no time at all.
    only = {"NS_ALLOWED_CIDRS": f"{OURS}/32", "NS_WEBHOOK_PORTS": str(port), "NS_RETRY_SCHEDULE": "12s"}
    async with (
        naming(resolver, NAMES) as names,
        listening(port, "127.0.0.1", "::1") as sentinel,
        listening(port, OURS, statuses=[500] * len(ALLOWED_AT_FIRST)) as ours,
        fleet(environment | only, under=under) as (worker,),
        patience(60),
    ):
        await broker.publish([unit(destinations=made)])
        letters = await broker.dead(len(made) - 1)
        await worker.says("notification.delivered", destination_id="ours_test")
    assert reasons(letters) == dict.fromkeys(hosts.keys() - {"ours_test"}, "forbidden_address")
    assert sentinel.dialled == []
    assert len(ours.dialled) == len(ALLOWED_AT_FIRST) + 1
    assert names.asked["turns.test", A] == 2
