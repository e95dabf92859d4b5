"""The metrics of several processes as one text, of Prometheus or OpenMetrics."""

from collections.abc import Iterable, Mapping

from notification_sender.telemetry.declared import Declared

END = "# EOF"
"""The last line of OpenMetrics."""


def merged(texts: Mapping[int, str]) -> str:
    """One text from the text of each process, without the last line of OpenMetrics, ``END``.

    Every series gets the label ``process`` with the number of its process.

    The label and not a sum: the counters of a process begin at zero when it is started again. ``rate`` understands
    this of a series that falls to zero. A sum that only becomes smaller would count all that is left as new.
    """
    families: dict[str, list[str]] = {}
    for process, text in texts.items():
        lines: list[str] = []
        for line in filter(None, text.split("\n")):  # splitlines would cut at more characters, some of them in labels
            if line.startswith("# HELP "):
                lines = families.setdefault(line.split(" ", 3)[2], [])
            if not line.startswith("#"):
                lines.append(_labelled(line, process))
            elif line not in lines and line != END:
                lines.append(line)
    return "".join(f"{line}\n" for lines in families.values() for line in lines)


def _labelled(line: str, process: int) -> str:
    name, _, value = line.partition(" ")
    if "{" not in name:  # a later brace is of an exemplar
        return f'{name}{{process="{process}"}} {value}'
    name, _, rest = line.partition("{")
    return f'{name}{{process="{process}",{rest}'


def family(it: Declared, values: Iterable[tuple[int, int]], *, openmetrics: bool) -> str:
    """One metric of the parent's own, with a value for each process."""
    samples = "".join(f'{it.whole}{{process="{process}"}} {int(value)}\n' for process, value in values)
    title = it.whole.removesuffix("_total") if openmetrics else it.whole
    return f"# HELP {title} {it.text}\n# TYPE {title} {it.kind}\n{samples}"
