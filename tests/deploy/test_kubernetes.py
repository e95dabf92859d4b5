"""Every supported Kubernetes accepts the manifests, they keep the rules, and the worker accepts its settings."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from notification_sender.settings import Settings
from notification_sender.settings.loading import variables
from tools.kubernetes import rules, schemas
from tools.kubernetes.__main__ import BASE, CHART, faults

BROKEN = {
    "root": lambda pod: pod["securityContext"].pop("runAsNonRoot"),
    "seccomp": lambda pod: pod["securityContext"].pop("seccompProfile"),
    "token": lambda pod: pod.pop("automountServiceAccountToken"),
    "hostNetwork": lambda pod: pod.update(hostNetwork=True),
    "path of the node": lambda pod: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    "one node": lambda pod: pod.pop("topologySpreadConstraints"),
    "gain privileges": lambda pod: pod["initContainers"][0]["securityContext"].update(privileged=True),
    "change its image": lambda pod: pod["containers"][0]["securityContext"].pop("readOnlyRootFilesystem"),
    "capabilities": lambda pod: pod["containers"][0]["securityContext"]["capabilities"].update(add=["NET_RAW"]),
    "no processor": lambda pod: pod["containers"][0]["resources"].pop("requests"),
    "whole memory": lambda pod: pod["initContainers"][0]["resources"].pop("limits"),
    "without a version": lambda pod: pod["containers"][0].update(image="notification-sender:latest"),
    "livenessProbe": lambda pod: pod["containers"][0].pop("livenessProbe"),
    "cuts off": lambda pod: pod.update(terminationGracePeriodSeconds=20),
}
"""What each rule must find, by a word of what it says."""

OPEN = {"labels", "matchLabels", "annotations", "data", "limits", "requests", "selector"}
"""Their keys are the user's own."""


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(BASE.read_text()))


def of(kind: str, given: list[dict[str, Any]]) -> Any:
    [it] = [it for it in given if it["kind"] == kind]
    return it


def mappings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of every mapping whose keys Kubernetes knows."""
    if isinstance(value, dict):
        if not (path and path[-1] in OPEN):
            yield path
        for key, it in value.items():
            yield from mappings(it, (*path, key)) if key not in OPEN else ()
    elif isinstance(value, list):
        for number, it in enumerate(value):
            yield from mappings(it, (*path, number))


def test_the_rendered_manifests_have_no_fault() -> None:
    assert [*faults(BASE.read_text())] == []


@pytest.mark.parametrize("said", BROKEN)
def test_a_manifest_that_breaks_a_rule_is_refused_with_the_field_that_mends_it(said: str) -> None:
    given = manifests()
    BROKEN[said](of("Deployment", given)["spec"]["template"]["spec"])
    assert [said in it for it in rules.faults(given)] == [True]


@pytest.mark.parametrize(
    ("said", "extra"),
    [
        ("a Secret is written", {"kind": "Secret", "data": {"k": "eA=="}}),
        ("password in a URL", {"kind": "ConfigMap", "data": {"NS_AMQP_URL": "amqps://user:pass@rabbitmq/"}}),
        ("selects no pod", {"kind": "Service", "spec": {"selector": {"app.kubernetes.io/name": "other"}}}),
    ],
)
def test_a_manifest_beside_the_deployment_is_judged_as_well(said: str, extra: dict[str, Any]) -> None:
    assert [said in it for it in rules.faults([*manifests(), extra])] == [True]


def test_a_misspelt_field_is_refused_at_every_place_of_every_manifest() -> None:
    taken = []
    for manifest in manifests():
        for path in mappings(manifest):
            changed = deepcopy(manifest)
            place = changed
            for step in path:
                place = place[step]
            place["misspelt"] = 1
            if not [*schemas.faults(changed)]:
                taken.append((manifest["kind"], path))
    assert taken == []


def test_a_kind_without_a_schema_is_a_fault() -> None:
    [fault] = schemas.faults({"apiVersion": "batch/v1", "kind": "CronJob"})
    assert "collect it" in fault


def test_the_worker_accepts_the_environment_of_its_pod(tmp_path: Path) -> None:
    given = manifests()
    container = of("Deployment", given)["spec"]["template"]["spec"]["containers"][0]
    urls = {
        "NS_AMQP_URL_FILE": "amqps://rabbitmq/",
        "NS_REDIS_URL_FILE": "rediss://redis/0",
        "NS_AAA_CLIENT_SECRET_FILE": "hidden",
    }
    environment = dict(of("ConfigMap", given)["data"])
    for it in container["env"]:
        file = tmp_path / it["name"]
        file.write_text(urls[it["name"]])
        environment[it["name"]] = str(file)
    # What the kubelet adds for a Service of the same name.
    environment |= {"NOTIFICATION_SENDER_SERVICE_HOST": "10.0.0.1"}
    assert Settings.load(environment).grace == 25


def test_every_setting_that_the_chart_names_exists() -> None:
    named = set(re.findall(r"\bNS_[A-Z0-9_]+\b", "".join(it.read_text() for it in CHART.rglob("*.*"))))
    known = set(variables(Settings))
    assert {it.removesuffix("_FILE") for it in named if not it.endswith("_")} - known == set()


def test_the_schema_of_the_values_names_every_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert values.keys() == schema["properties"].keys() - {"global"}
