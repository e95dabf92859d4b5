"""Faults of recipients."""

from collections.abc import AsyncIterator, Sequence
from itertools import cycle

from bench.diagnose.faults.fault import Cause, Fault, caused
from bench.diagnose.judge import Expected
from bench.diagnose.scene import Scene
from bench.diagnose.units import HANGING, MAILBOXES, REGULAR, hook_id


def hanging(addresses: Sequence[str], rate: float) -> Cause:
    """Webhooks to these, of all regular organizations in turn, beside the steady load."""

    @caused
    async def cause(scene: Scene) -> AsyncIterator[None]:
        places, organizations = cycle(addresses), cycle(range(REGULAR))
        behaviours = [scene.inbox.behaviours[hook_id(it)] for it in addresses]
        for behaviour in behaviours:
            behaviour.configure(answer="hang")
        with scene.load.beside(rate, lambda: scene.units.hook_of(next(organizations), next(places))):
            yield
        for behaviour in behaviours:
            behaviour.configure(answer=None)

    return cause


@caused
async def deferring_mail(scene: Scene) -> AsyncIterator[None]:
    behaviours = [scene.inbox.behaviours[it] for it in MAILBOXES]
    for behaviour in behaviours:
        behaviour.configure(answer=451)
    with scene.load.beside(1.0, lambda: scene.units.mail_of(0)):
        yield
    for behaviour in behaviours:
        behaviour.configure(answer=None)


ONE = Fault(
    "one destination that hangs",
    "two webhooks a second to one host that never answers",
    Expected("destination", (HANGING[0], hook_id(HANGING[0]))),
    hanging(HANGING[:1], 2.0),
)
FIFTY = Fault(
    "fifty that hang",
    "four webhooks a second to fifty hosts that never answer",
    Expected("destination"),
    hanging(HANGING, 4.0),
)
MAIL = Fault(
    "a mail server that defers",
    "each email is answered 451",
    Expected("destination", ("127.0.0.1", "email", "mail", "smtp")),
    deferring_mail,
)
