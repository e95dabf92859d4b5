"""The options of TLS. They stand after all others: each is checked against the URL that it secures."""

from typing import Any

from pydantic import Field

from notification_sender.settings.formats import ExistingFile
from notification_sender.settings.options import Options

_TRUST = "Certificate authorities of {0}, a PEM file. They replace those of the system, and are read again on a change."
_PROOF = "Certificate by which the worker proves itself to {0}, a PEM file; read again on a change."
_KEY = "Key of `NS_{0}_CERT`, a PEM file without a passphrase; else the key is in the file of the certificate."


def _file(why: str) -> Any:
    return Field(None, description=why)


class TlsOptions(Options):
    """A file of authorities, a certificate and a key for each kind of connection."""

    amqp_ca: ExistingFile | None = _file(_TRUST.format("RabbitMQ"))
    amqp_cert: ExistingFile | None = _file(_PROOF.format("RabbitMQ"))
    amqp_key: ExistingFile | None = _file(_KEY.format("AMQP"))
    redis_ca: ExistingFile | None = _file(_TRUST.format("Redis"))
    redis_cert: ExistingFile | None = _file(_PROOF.format("Redis"))
    redis_key: ExistingFile | None = _file(_KEY.format("REDIS"))
    api_ca: ExistingFile | None = _file(
        _TRUST.format("the internal APIs") + " Geocoding may have a certificate of either."
    )
    api_cert: ExistingFile | None = _file(_PROOF.format("the internal APIs, without geocoding"))
    api_key: ExistingFile | None = _file(_KEY.format("API"))
    smtp_ca: ExistingFile | None = _file(_TRUST.format("the mail server"))
    smtp_cert: ExistingFile | None = _file(_PROOF.format("the mail server"))
    smtp_key: ExistingFile | None = _file(_KEY.format("SMTP"))
