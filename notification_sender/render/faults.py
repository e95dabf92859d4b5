"""Error messages of templates: type, file, line and names, but no value of the context.

The text of an exception often repeats a value (``invalid literal for int(): '…'``). Error messages go into logs and
headers, where customers' data must not go.
"""

import re
from collections.abc import Container
from pathlib import Path

from jinja2 import Template, UndefinedError

from notification_sender.render.meter import Refused

_SAYS: dict[type[BaseException], str] = {
    ZeroDivisionError: "division by zero",
    RecursionError: "maximum recursion depth exceeded",
}
_QUOTED = re.compile(r"'([^']{1,64})'")


def describe(fault: BaseException, words: Container[str]) -> str:
    """Describe a fault in one line. ``words``: the words of template files, which it may repeat."""
    if isinstance(fault, UndefinedError | Refused):
        return str(fault)
    if type(fault) in _SAYS:
        return _SAYS[type(fault)]
    names = [name for name in _QUOTED.findall(str(fault)[:1024]) if name in words]
    return f"{type(fault).__name__} ({', '.join(names)})" if names else type(fault).__name__


def location(fault: BaseException, template: Template) -> str:
    """Return file and line of the innermost template that was running."""
    place, step = template.name or "", fault.__traceback__
    while step is not None:
        file = Path(step.tb_frame.f_code.co_filename)
        if file.suffix == ".j2":
            place = f"{'/'.join(file.parts[-2:])} line {step.tb_lineno}"
        step = step.tb_next
    return place
