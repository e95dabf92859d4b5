"""Writes one webhook and one email of an inbox to files, as a customer receives them."""

import json
from collections.abc import Mapping
from pathlib import Path

from notification_sender.sandbox.inbox.inbox import Inbox, ReceivedWebhook
from notification_sender.sandbox.inbox.mailbox import ReceivedEmail

WEBHOOK, LETTER, PAGE = "webhook.json", "email.eml", "email.html"


def write_samples(inbox: Inbox, directory: Path) -> list[Path]:
    """Write the largest webhook and the largest email. Return the files; a kind that did not arrive has none."""
    files: dict[str, bytes] = {}
    if inbox.webhooks:
        files[WEBHOOK] = _webhook(max(inbox.webhooks, key=lambda post: len(post.body)))
    if inbox.emails:
        files |= _email(max(inbox.emails, key=lambda letter: len(letter.raw)))
    return _write(files, directory)


def _webhook(post: ReceivedWebhook) -> bytes:
    sample = {"headers": dict(post.headers), "body": json.loads(post.body)}
    return json.dumps(sample, ensure_ascii=False, indent=2).encode()


def _email(letter: ReceivedEmail) -> dict[str, bytes]:
    page = letter.message.get_body(("html",))
    html = {PAGE: page.get_content().encode()} if page is not None else {}
    return {LETTER: letter.raw} | html


def _write(files: Mapping[str, bytes], directory: Path) -> list[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return [directory / name for name in files]
