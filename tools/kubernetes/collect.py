"""Makes the schemas in deploy/schemas: ``python -m tools.kubernetes.collect SCHEMAS CRD...``.

``SCHEMAS`` is a folder ``vX.Y.Z-local-strict`` of the package kubernetes-validate, ``CRD`` a YAML file of an operator.
Run it when a newer version is to be supported. Descriptions are left out: they are nine tenths of the bytes.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

SCHEMAS = Path(__file__).parents[2] / "deploy" / "schemas"

KINDS = ("deployment-apps-v1", "configmap-v1", "service-v1", "serviceaccount-v1", "poddisruptionbudget-policy-v1")
KINDS += ("networkpolicy-networking-v1",)

Schema = dict[str, Any]


def bare(schema: Any) -> Any:
    """The same schema without descriptions. A property may have that name, then its value is a schema."""
    if isinstance(schema, list):
        return [bare(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: bare(it) for key, it in schema.items() if not (key == "description" and isinstance(it, str))}


def referred(schema: Schema) -> set[str]:
    """Names of definitions that a schema refers to."""
    return set(re.findall(r'#/\$defs/([^"]+)', json.dumps(schema)))


def of_kubernetes(folder: Path) -> Schema:
    """One schema for each of ``KINDS``, and the definitions that they refer to."""
    everything = json.loads((folder / "_definitions.json").read_text())["$defs"]
    kinds = {name: bare(json.loads((folder / f"{name}.json").read_text())) for name in KINDS}
    wanted = set().union(*map(referred, kinds.values()))
    definitions: Schema = {}
    while missing := wanted - definitions.keys():
        definitions |= {name: bare(everything[name]) for name in missing}
        wanted |= set().union(*(referred(definitions[name]) for name in missing))
    text = json.dumps({"kinds": kinds, "$defs": definitions})
    found: Schema = json.loads(text.replace("/api/_definitions.json#/", "#/"))
    return found


def of_operator(crd: Path) -> tuple[str, Schema]:
    """Name of the file and schema of a custom resource: of the version that is stored."""
    spec = yaml.safe_load(crd.read_text())["spec"]
    [version] = [it for it in spec["versions"] if it["storage"]]
    name = f"{spec['names']['singular']}-{spec['group']}-{version['name']}"
    return name, strict(bare(version["schema"]["openAPIV3Schema"]))


def strict(schema: Any) -> Any:
    """The same schema, which refuses fields that it does not name: the API server would drop them in silence."""
    if isinstance(schema, list):
        return [strict(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: strict(it) for key, it in schema.items()}
    open_ended = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not open_ended:
        # The form of `metadata` is the API server's own.
        changed["additionalProperties"] = False
    return changed


def main(folder: str, *crds: str) -> None:
    """Write all files."""
    version = Path(folder).name.split("-")[0]
    written = {f"kubernetes-{version}": of_kubernetes(Path(folder))}
    written |= dict(of_operator(Path(it)) for it in crds)
    for name, schema in written.items():
        (SCHEMAS / f"{name}.json").write_text(json.dumps(schema, sort_keys=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
