"""What every manifest of a worker must keep, whatever its values are."""

import re
from collections.abc import Iterator
from typing import Any

Manifest = dict[str, Any]

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def faults(manifests: list[Manifest]) -> Iterator[str]:
    """What is wrong with the manifests of one release."""
    [deployment] = [it for it in manifests if it["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    yield from _pod(pod)
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        yield from _container(container)
    for name in PROBES:
        if name not in pod["containers"][0]:
            yield f"the worker has no {name}"
    yield from _grace(manifests, pod)
    yield from _selected(manifests, deployment)
    yield from _no_secret(manifests)


def _pod(pod: Manifest) -> Iterator[str]:
    security = pod.get("securityContext", {})
    if not security.get("runAsNonRoot") or not security.get("runAsUser"):
        yield "the pod may run as root: runAsNonRoot and runAsUser"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "the pod has no seccomp profile: seccompProfile RuntimeDefault"
    if pod.get("automountServiceAccountToken") is not False:
        yield "the pod carries a token of the API server: automountServiceAccountToken false"
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(forbidden):
            yield f"the pod shares the node: {forbidden}"
    yield from ("the pod mounts a path of the node" for it in pod.get("volumes", []) if "hostPath" in it)
    if not pod.get("topologySpreadConstraints"):
        yield "one node may hold every pod: topologySpreadConstraints"


def _container(container: Manifest) -> Iterator[str]:
    name, security = container["name"], container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
        yield f"{name} may gain privileges: allowPrivilegeEscalation false"
    if not security.get("readOnlyRootFilesystem"):
        yield f"{name} may change its image: readOnlyRootFilesystem true"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{name} has capabilities: drop ALL, add none"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
        yield f"{name} asks for no processor or no memory: resources.requests"
    if "memory" not in resources.get("limits", {}):
        yield f"{name} may take the whole memory of its node: resources.limits.memory"
    if re.search(r":latest$|^[^:@]+$", container["image"]):
        yield f"{name} has an image without a version: {container['image']}"


def _grace(manifests: list[Manifest], pod: Manifest) -> Iterator[str]:
    """The kubelet must wait for longer than the worker, and the worker for longer than a send."""
    settings: dict[str, str] = {}
    for it in manifests:
        settings |= it.get("data", {}) if it["kind"] == "ConfigMap" else {}
    seconds = {name: int(settings[name].removesuffix("s")) for name in ("NS_GRACE", "NS_SEND_TIMEOUT")}
    if not pod["terminationGracePeriodSeconds"] > seconds["NS_GRACE"] > seconds["NS_SEND_TIMEOUT"]:
        yield f"a stop cuts off deliveries: {pod['terminationGracePeriodSeconds']} s of the kubelet, {seconds}"


def _selected(manifests: list[Manifest], deployment: Manifest) -> Iterator[str]:
    """Every selector must select the pods, and nothing may lack the namespace of its release."""
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for it in manifests:
        if it["kind"] == "ServiceMonitor":
            continue  # it selects the Service
        spec = it.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        if not selector.get("matchLabels", selector).items() <= labels.items():
            yield f"{it['kind']} selects no pod of the worker: {selector}"
        if it["kind"] == "ScaledObject" and spec["scaleTargetRef"]["name"] != deployment["metadata"]["name"]:
            yield "the ScaledObject scales another Deployment"


def _no_secret(manifests: list[Manifest]) -> Iterator[str]:
    """A URL with a password must come from a Secret, which the chart never writes."""
    for it in manifests:
        if it["kind"] == "Secret":
            yield "a Secret is written: its bytes would lie in the values, and in the history of the release"
        for name, text in it.get("data", {}).items():
            if re.search(r"://[^/@\s]*:[^/@\s]+@", text):
                yield f"{name} of a ConfigMap has a password in a URL"
