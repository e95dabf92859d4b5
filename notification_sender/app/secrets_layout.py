"""Checks that signing secrets are where the worker looks for them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from notification_sender.adapters.clock import SystemClock
from notification_sender.app.apis import Upstreams
from notification_sender.app.backends import store
from notification_sender.app.channels import Recipients
from notification_sender.channels.signing import parse_keys
from notification_sender.model.destination import Destination
from notification_sender.model.errors import ConfigurationFault, NotificationSenderError
from notification_sender.model.unit import explain
from notification_sender.settings import Settings
from notification_sender.telemetry.metrics import Metrics


async def check_files(settings: Settings) -> str:
    """Check every file in ``NS_SECRETS_DIR``.

    Raises:
        ConfigurationFault: lists every file that no organization may use or that holds no keys, and what to do.
    """
    directory = settings.secrets_dir
    if directory is None:
        return "NS_SECRETS_DIR is not set; destinations that name a secret would wait for it"
    files = await asyncio.to_thread(lambda: list(_files(directory)))
    faults = [fault for fault in (_fault(directory, it, settings.shared_secrets) for it in files) if fault]
    if faults:
        raise ConfigurationFault("; ".join(faults))
    return f"{len(files)} in {directory} can be used"


async def destinations(settings: Settings, organization_id: str) -> str:
    """Check that all destinations of an organization have the files that they need.

    Raises:
        ConfigurationFault: lists the destinations that lack one, and what to do.
        NotFound, ContextUnavailable: the AAA API does not know the organization, or does not answer.
    """
    clock = SystemClock()
    upstreams = Upstreams(settings, store=store(settings), clock=clock, metrics=Metrics())
    recipients = Recipients(settings, tokens=upstreams.outbound_tokens, clock=clock)
    try:
        record = await upstreams.organization(organization_id)
    finally:
        await recipients.close()
        await upstreams.close()
    faults = list(_breaking(recipients, organization_id, record))
    if faults:
        raise ConfigurationFault("; ".join(faults))
    return "every destination has the files that it needs"


def _files(directory: Path) -> Iterator[Path]:
    """The files of the folder and of each organization's folder, without names with a dot, which Kubernetes swaps."""
    for path in sorted(directory.iterdir()):
        if path.name.startswith("."):
            continue
        yield from (it for it in sorted(path.iterdir()) if it.name[0] != ".") if path.is_dir() else [path]


def _fault(directory: Path, file: Path, shared: frozenset[str]) -> str | None:
    if file.parent == directory and not {"*", file.name} & shared:
        remedy = f"mkdir {directory}/ORGANIZATION && mv {file} {directory}/ORGANIZATION/"
        return f"{file} belongs to no organization; run: {remedy}, or name it in NS_SHARED_SECRETS"
    try:
        parse_keys(file.read_bytes())
    except OSError as fault:
        return f"{file}: {fault.strerror}"
    except ValueError as fault:
        return f"{file}: {fault}"
    return None


def _breaking(recipients: Recipients, organization_id: str, record: dict[str, Any]) -> Iterator[str]:
    for place, given in enumerate(record.get("destinations") or ()):
        try:
            destination = Destination.model_validate(given)
        except ValidationError as fault:
            yield f"destination {place}: {explain(fault)}"
            continue
        channel = recipients.channels.get(destination.channel)
        try:
            if channel is not None:
                channel.address(destination)
                channel.check(organization_id, destination)
        except NotificationSenderError as fault:
            yield f"{destination.destination_id}: {fault}"
