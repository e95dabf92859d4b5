"""The metrics of several processes as one text of Prometheus."""

from collections.abc import Iterable, Mapping


def merged(texts: Mapping[int, str]) -> str:
    """One text from the text of each process. Every series gets the label ``process`` with the number of its process.

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
            elif line not in lines:
                lines.append(line)
    return "".join(f"{line}\n" for lines in families.values() for line in lines)


def _labelled(line: str, process: int) -> str:
    name, brace, rest = line.partition("{")
    # Without labels a brace may stand nowhere in the line: the value is a number.
    if brace:
        return f'{name}{{process="{process}",{rest}'
    name, _, value = line.partition(" ")
    return f'{name}{{process="{process}"}} {value}'


def family(name: str, kind: str, text: str, values: Iterable[tuple[int, int]]) -> str:
    """One metric of the parent's own, with a value for each process."""
    samples = "".join(f'{name}{{process="{process}"}} {int(value)}\n' for process, value in values)
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n{samples}"
