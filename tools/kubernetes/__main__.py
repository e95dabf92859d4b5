"""Checks the Kubernetes assets: ``python -m tools.kubernetes``; ``--write`` renders deploy/kustomize anew."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from tools.kubernetes import rules, schemas

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "notification-sender"
BASE = DEPLOY / "kustomize" / "base" / "worker.yaml"
KUBERNETES = "1.31"

HEADER = "# Rendered from deploy/helm by `make docs`: change the chart. An overlay sets what your cluster needs.\n"


def helm() -> str | None:
    """The program: of this environment or of the machine."""
    return shutil.which("helm", path=str(Path(sys.executable).parent)) or shutil.which("helm")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, ours


def render(program: str, values: Path, release: str = "worker") -> str:
    """The manifests of a release."""
    found = _run(program, "template", release, str(CHART), "--values", str(values), "--kube-version", KUBERNETES)
    if found.returncode:
        sys.exit(f"{values.name}: {found.stderr.strip()}")
    return found.stdout


def base(program: str) -> str:
    """The manifests of deploy/kustomize/base: those of the least values."""
    text = render(program, CHART / "ci" / "minimal.yaml", "notification-sender")
    return HEADER + text.replace("  namespace: default\n", "").replace("managed-by: Helm", "managed-by: kustomize")


def faults(text: str) -> Iterator[str]:
    """What is wrong with manifests."""
    manifests = [it for it in yaml.safe_load_all(text) if it]
    yield from rules.faults(manifests)
    for it in manifests:
        yield from (f"{it['kind']}: {fault}" for fault in schemas.faults(it))


def _of_the_chart(program: str) -> Iterator[str]:
    for values in sorted((CHART / "ci").glob("*.yaml")):
        linted = _run(program, "lint", "--strict", "--quiet", "--values", str(values), str(CHART))
        if linted.returncode:
            yield f"{values.name}: {linted.stdout.strip()}"
        yield from (f"{values.name}: {fault}" for fault in faults(render(program, values)))
    if BASE.read_text() != base(program):
        yield f"{BASE.relative_to(ROOT)} is not what the chart renders: run `make docs`"


def _of_kustomize() -> Iterator[str]:
    yield from (f"{BASE.relative_to(ROOT)}: {fault}" for fault in faults(BASE.read_text()))
    if kubectl := shutil.which("kubectl"):
        for overlay in sorted(it.parent for it in (DEPLOY / "kustomize").glob("*/kustomization.yaml")):
            built = _run(kubectl, "kustomize", str(overlay))
            if built.returncode:
                yield f"{overlay.relative_to(ROOT)}: {built.stderr.strip()}"
            else:
                yield from (f"{overlay.relative_to(ROOT)}: {fault}" for fault in faults(built.stdout))


def main(*arguments: str) -> None:
    """Print every fault; exit with 1 if there is one."""
    program = helm()
    if program and "--write" in arguments:
        BASE.write_text(base(program))
    found = [*_of_kustomize(), *(_of_the_chart(program) if program else ())]
    print(*found, sep="\n", end="\n" if found else "")
    if not program:
        print("helm is not here: the chart itself is not checked, deploy/kustomize is", file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
