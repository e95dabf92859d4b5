"""The process: the only room that knows every concrete class. What the command line does goes through here."""

from notification_sender.app.errands import (
    audit,
    declare,
    enable,
    plan,
    preview,
    publish,
    suppress,
    suppressed,
    troubled,
    unsuppress,
)
from notification_sender.app.probe import Probe, probe
from notification_sender.app.process import App
from notification_sender.app.serving import run

__all__ = [
    "App",
    "Probe",
    "audit",
    "declare",
    "enable",
    "plan",
    "preview",
    "probe",
    "publish",
    "run",
    "suppress",
    "suppressed",
    "troubled",
    "unsuppress",
]
