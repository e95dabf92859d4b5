"""A unit that kills whoever works on it: it ends, its neighbours are delivered."""

from pathlib import Path

import pytest
from faults.rig import Rig
from faults.rows import row

RECIPE = '''\
"""Ends the process that gathers for it, as what exhausts its memory does."""

import os
import signal

from notification_sender.recipes.authoring import Recipe

deadly = Recipe("deadly", subject=lambda unit: "fact")


@deadly.source(ttl="1s")
async def fact(unit):
    os.kill(os.getpid(), signal.SIGKILL)
'''
PACKAGE = "Metadata-Version: 2.1\nName: deadly-recipe\nVersion: 1.0\n"
ENTRY = "[notification_sender.recipes]\ndeadly = deadly:deadly\n"
TEMPLATE = '{"fact": {{ fact | tojson }}}\n'


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The recipe as pip leaves it, and its template; the variables of a worker that has them."""
    files = {
        "site/deadly.py": RECIPE,
        "site/deadly_recipe-1.0.dist-info/METADATA": PACKAGE,
        "site/deadly_recipe-1.0.dist-info/entry_points.txt": ENTRY,
        "templates/deadly/webhook.json.j2": TEMPLATE,
    }
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
    short = {"NS_LEASE": "1100ms", "NS_SEND_TIMEOUT": "1s"}
    async with rig.restarted(2, **installed, **short):
        await rig.publish([deadly | {"kind": "deadly"}, *neighbours])
        await rig.account(dead={"crashed": 1}, sends=1)
    assert rig.deaths == 5
