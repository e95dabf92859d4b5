"""Faults of what is published, and of what a message needs."""

from collections.abc import AsyncIterator

from bench.diagnose.faults.fault import Fault, caused
from bench.diagnose.judge import Expected
from bench.diagnose.outside import install
from bench.diagnose.outside.trial import DIE
from bench.diagnose.scene import Scene
from bench.diagnose.units import ABSENT_SECRET, WRONG_TEMPLATE
from notification_sender.sandbox.inbox.keys import write_keys

UNSIGNED = 3
"""Number of a regular organization."""

EVERY = 8.0
"""Seconds between two units that kill their worker."""


@caused
async def poison(scene: Scene) -> AsyncIterator[None]:
    with scene.load.beside(1.0, scene.units.unreadable):
        yield


@caused
async def deadly(scene: Scene) -> AsyncIterator[None]:
    with scene.load.beside(1 / EVERY, lambda: scene.units.of_kind(DIE)):
        yield


@caused
async def wrong_template(scene: Scene) -> AsyncIterator[None]:
    """A deployment brings it, another one corrects it."""
    file = install.wrong_template(scene.environment)
    file.write_text(install.WRONG)
    async with scene.restarted(*scene.members):
        with scene.load.beside(2.0, lambda: scene.units.hook_of(2, template=WRONG_TEMPLATE)):
            yield
        file.write_text(install.RIGHT)


@caused
async def missing_secret(scene: Scene) -> AsyncIterator[None]:
    """It ends when the file comes."""
    organization = scene.units.organizations[UNSIGNED]
    with scene.load.beside(2.0, lambda: scene.units.hook_of(UNSIGNED, secret=ABSENT_SECRET)):
        yield
    write_keys(scene.secrets / organization, [ABSENT_SECRET])


@caused
async def nobody(scene: Scene) -> AsyncIterator[None]:
    with scene.load.times(0):
        yield


POISON = Fault(
    "poison units",
    "each second a unit without an organization, which no worker can read",
    Expected("poison"),
    poison,
)
DEADLY = Fault(
    "units that kill their worker",
    "each 8 s a unit that kills the process that works on it",
    Expected("poison"),
    deadly,
)
TEMPLATE = Fault(
    "a wrong template",
    "a deployment breaks a template that two webhooks a second need",
    Expected("template", (WRONG_TEMPLATE,)),
    wrong_template,
)
SECRET = Fault(
    "a missing secret",
    "two webhooks a second whose signing secret has no file",
    Expected(
        "secret",
        (
            "exemplo-conexao",
            ABSENT_SECRET,
        ),
    ),
    missing_secret,
)
NOBODY = Fault("nobody publishes", "the publisher is silent", Expected("no_arrivals"), nobody)
