"""Templates that take a worker longer than everything else together: then it is full, and nothing around it is.

The workers of a long run share one core; publisher, receivers, broker and store share what is left of the machine. With
the shipped templates these would be what is measured.
"""

import shutil
from pathlib import Path

from notification_sender.render import shipped

TURNS = 30_000
"""Of a loop that does nothing: two ms or so."""


def laborious_templates(folder: Path) -> str:
    """The shipped ones, with so much more to do for each notification; for ``NS_TEMPLATES_DIR``."""
    templates = folder / "templates"
    shutil.copytree(shipped(), templates)
    for file in templates.glob("*/webhook.json.j2"):
        file.write_text(f"{{%- for _ in range({TURNS}) %}}{{% endfor -%}}\n{file.read_text()}")
    return str(templates)
