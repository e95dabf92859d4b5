"""Puts the outside package into a folder, as pip leaves it, and its templates beside the shipped ones."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from bench.diagnose.units import KIND, WRONG_TEMPLATE
from notification_sender.render import shipped

MODULE = f"{__package__}.trial"
METADATA = "Metadata-Version: 2.1\nName: trial-recipe\nVersion: 1.0\n"
ENTRIES = f"[notification_sender.recipes]\n{KIND} = {KIND}:{KIND}\n"
RIGHT, WRONG = '{"status": {{ incident.status | tojson }}}\n', '{"status": {{ incident.status + 1 }}}\n'
"""Of one template: as it is, and as a deployment breaks it for each unit."""

TEMPLATES = {
    f"{KIND}/webhook.json.j2": '{"work": {{ work | tojson }}}\n',
    f"{KIND}/email.none": "The trial has webhooks of this kind alone.\n",
    f"{WRONG_TEMPLATE}/webhook.json.j2": RIGHT,
    f"{WRONG_TEMPLATE}/email.none": "As above.\n",
}


def install(folder: Path) -> dict[str, str]:
    """Return the variables of a worker that has it."""
    site, templates = folder / "site", folder / "templates"
    own = Path(__file__).with_name(f"{KIND}.py").read_text()
    files = {
        f"site/{KIND}.py": own,
        "site/trial_recipe-1.0.dist-info/METADATA": METADATA,
        "site/trial_recipe-1.0.dist-info/entry_points.txt": ENTRIES,
    }
    shutil.copytree(shipped(), templates)
    for name, text in (files | {f"templates/{name}": text for name, text in TEMPLATES.items()}).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return {"PYTHONPATH": str(site), "NS_TEMPLATES_DIR": str(templates)}


def wrong_template(variables: Mapping[str, str]) -> Path:
    """The file that a deployment breaks."""
    return Path(variables["NS_TEMPLATES_DIR"]) / WRONG_TEMPLATE / "webhook.json.j2"
