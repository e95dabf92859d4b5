"""Validates manifests against the schemas in deploy/schemas."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[2] / "deploy" / "schemas"
KUBERNETES = sorted(it.stem for it in SCHEMAS.glob("kubernetes-*.json"))
"""The oldest and the newest version that is supported."""

Manifest = dict[str, Any]


@cache
def _read(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.json").read_text())


def _schema(manifest: Manifest, kubernetes: str) -> Any:
    """The schema of a manifest; None: nothing is known of such a kind."""
    group, _, version = manifest["apiVersion"].rpartition("/")
    kind = manifest["kind"].lower()
    if (SCHEMAS / f"{kind}-{group}-{version}.json").exists():
        return _read(f"{kind}-{group}-{version}")
    everything = _read(kubernetes)
    words = [kind, *filter(None, [group.removesuffix(".k8s.io")]), version]
    found = everything["kinds"].get("-".join(words))
    return found and found | {"$defs": everything["$defs"]}


def faults(manifest: Manifest) -> Iterator[str]:
    """What a cluster of any supported version would refuse, or drop in silence."""
    for kubernetes in KUBERNETES:
        schema = _schema(manifest, kubernetes)
        if schema is None:
            yield f"no schema of {manifest['apiVersion']} {manifest['kind']}: collect it (tools/kubernetes/collect.py)"
            return
        for error in Draft202012Validator(schema).iter_errors(manifest):
            yield f"{kubernetes}: {error.json_path}: {error.message}"
