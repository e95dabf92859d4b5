"""Units that are bad for whoever works on them: it dies, or does nothing else. Their neighbours are delivered."""

import re
from pathlib import Path

import pytest

from tests.e2e.fleet import Worker, unheld
from tests.faults.rig import Rig
from tests.faults.rows import record, row
from tests.patience import option

RECIPES = '''\
"""One ends the process that gathers for it, as what exhausts its memory does; two let it do nothing else."""

import os
import signal
import time

from notification_sender.recipes.authoring import Recipe

deadly = Recipe("deadly", subject=lambda unit: "fact")
blocking = Recipe("blocking", subject=lambda unit: "fact")
computing = Recipe("computing", subject=lambda unit: "fact")


@deadly.fetched(name="fact", ttl="1s")
async def death(unit):
    os.kill(os.getpid(), signal.SIGKILL)


@blocking.fetched(name="fact", ttl="1s")
async def pause(unit):
    time.sleep(5)
    return "it is over"


@computing.fetched(name="fact", ttl="1s")
async def ponder(unit):
    while not os.path.exists(os.environ["ENOUGH"]):
        pass
    return "it is over"
'''
PACKAGE = "Metadata-Version: 2.1\nName: bad-recipes\nVersion: 1.0\n"
ENTRIES = "[notification_sender.recipes]\ndeadly = bad:deadly\nblocking = bad:blocking\ncomputing = bad:computing\n"
LAG = re.compile(r'^notification_sender_loop_lag_seconds_bucket\{le="([^"]+)"\} (\d+)', re.MULTILINE)
TEMPLATE = '{"fact": {{ fact | tojson }}}\n'


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The recipes as pip leaves them, and their templates; the variables of a worker that has them."""
    files = {
        "site/bad.py": RECIPES,
        "site/bad_recipes-1.0.dist-info/METADATA": PACKAGE,
        "site/bad_recipes-1.0.dist-info/entry_points.txt": ENTRIES,
        "templates/deadly/webhook.json.j2": TEMPLATE,
        "templates/blocking/webhook.json.j2": TEMPLATE,
        "templates/computing/webhook.json.j2": TEMPLATE,
    }
    files |= {f"templates/{kind}/email.none": "" for kind in ("deadly", "blocking", "computing")}
    shipped = Path(__file__).parents[2] / "templates"
    files |= {f"templates/intel/{file.name}": file.read_text() for file in (shipped / "intel").iterdir()}
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return {"PYTHONPATH": str(tmp_path / "site"), "NS_TEMPLATES_DIR": str(tmp_path / "templates")}


@row(13, "a unit that kills every worker")
@row(40, "a unit that kills every worker, as what exhausts its memory does")
async def test_it_is_dead_after_five_and_its_neighbours_are_delivered(rig: Rig, installed: dict[str, str]) -> None:
    deadly, *neighbours = rig.units(11)
    short = {"NS_LEASE": option(1.1), "NS_SEND_TIMEOUT": option(1)}
    async with rig.restarted(2, **installed, **short):
        await rig.publish([deadly | {"kind": "deadly"}, *neighbours])
        await rig.account(dead={"crashed": 1}, sends=1)
    assert rig.deaths == 5


@pytest.mark.stalls
@row(42, "something blocks the event loop for five seconds", quick=False)
async def test_whose_loop_is_blocked_keeps_its_connections_and_says_how_late_it_was(
    rig: Rig, installed: dict[str, str]
) -> None:
    others, hook = rig.units(60, latency=0.1), rig.hook(template="blocking")
    blocking = rig.unit(kind="blocking", occurred_at="2026-03-06T08:26:00Z", destinations=[hook])
    patient = {"NS_SEND_TIMEOUT": "15s", "NS_LEASE": "30s"}
    async with rig.workers(1, NS_CONCURRENCY="8", **installed, **patient) as (worker,):
        await rig.publish([*others[:30], blocking, *others[30:]])
        await rig.account()
        metrics = (await worker.get("/metrics")).text
    late = {edge: int(count) for edge, count in LAG.findall(metrics)}
    record(figure=f"{late['+Inf'] - late['2.5']} wake-ups later than 2.5 s")
    assert late["+Inf"] > late["2.5"]
    assert any(place.endswith(":pause") for place in held_at(worker))
    assert [it for it in worker.events if it["event"] in {"broker.lost", "redis.lost", "notification.failed"}] == []


def held_at(worker: Worker) -> list[str]:
    """Every place at which its loop was seen to be held, by whatever: a busy machine holds it, too."""
    return [place for it in worker.events if it["event"] == "loop.stalled" for place in it["stack"]]


@pytest.mark.stalls
@row(103, "a unit that computes for seconds holds the loop")
async def test_whose_loop_is_held_is_not_alive_says_where_and_goes_on(
    rig: Rig, installed: dict[str, str], tmp_path: Path
) -> None:
    enough = tmp_path / "enough"
    hook = rig.hook(template="computing")
    computing = rig.unit(kind="computing", occurred_at="2026-03-06T08:26:00Z", destinations=[hook])
    limits = {"NS_LEASE": "30s", "NS_SEND_TIMEOUT": "15s", "NS_LIVENESS": "5s"}
    async with rig.workers(1, ENOUGH=str(enough), **limits, **installed) as (worker,):
        await rig.publish([computing])
        await worker.becomes(503, "/livez", within=60)
        enough.touch()
        await rig.account()
        await worker.becomes(200, "/livez")
        metrics = (await worker.get("/metrics")).text
    assert any(place.startswith("bad.py:") and place.endswith(":ponder") for place in held_at(worker))
    assert "notification_sender_loop_stalls_total{cause=" in metrics
    with pytest.raises(AssertionError, match="ponder"):
        unheld([worker])
