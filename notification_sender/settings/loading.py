"""Reads the options from the environment, and checks all of them in one pass."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Self, get_args

from pydantic import PrivateAttr, Secret, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from notification_sender.model.errors import ConfigurationFault
from notification_sender.settings import environment
from notification_sender.settings.constraints import RELATIONS, broken
from notification_sender.settings.environment import PREFIX
from notification_sender.settings.extensions import extended
from notification_sender.settings.formats import SecretUrl
from notification_sender.settings.tls import FILES, misplaced
from notification_sender.settings.tls_options import TlsOptions
from notification_sender.settings.urls import unencrypted, weakened_options

OF_ONE_PROCESS = frozenset({"NS_HTTP_HOST", "NS_HTTP_PORT", "NS_PROCESSES", "NS_LOG_FORMAT", "NS_LOG_LEVEL"})
"""Variables in which the processes of one fleet may differ."""


class Settings(TlsOptions):
    """All options, in one frozen object. Only ``load`` builds it, and neither it nor an import reads ``.env``."""

    _texts: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("amqp_url", "redis_url")
    @classmethod
    def _memory_in_development(cls, url: SecretUrl, info: ValidationInfo) -> SecretUrl:
        if url.scheme == "memory" and info.data.get("environment") == "production":
            raise ValueError("memory:// persists nothing; it needs NS_ENVIRONMENT=development")
        return url

    @field_validator("amqp_url", "redis_url", "smtp_url")
    @classmethod
    def _encrypted_in_production(cls, url: SecretUrl | None, info: ValidationInfo) -> SecretUrl | None:
        weak = weakened_options(url.get_secret_value()) if url is not None else []
        if weak and info.data.get("environment") == "production":
            raise ValueError(
                f"{', '.join(weak)} lets others read the traffic and the password in transit; "
                "it needs NS_ENVIRONMENT=development"
            )
        return url

    @field_validator(*FILES)
    @classmethod
    def _with_tls(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        fault = misplaced(str(info.field_name), info.data) if file is not None else ""
        if fault:
            raise ValueError(fault)
        return file

    @field_validator("processes")
    @classmethod
    def _memory_in_one_process(cls, number: int, info: ValidationInfo) -> int:
        urls = (info.data.get(name) for name in ("amqp_url", "redis_url"))
        if number > 1 and any(url is not None and url.scheme == "memory" for url in urls):
            raise ValueError("memory:// belongs to one process; several need RabbitMQ and Redis")
        return number

    @field_validator("email_from")
    @classmethod
    def _with_a_mail_server(cls, sender: str | None, info: ValidationInfo) -> str | None:
        if "smtp_url" in info.data and (sender is None) != (info.data["smtp_url"] is None):
            raise ValueError("needs NS_SMTP_URL, and the other way round; set both or neither")
        return sender

    @field_validator(*dict.fromkeys(relation.option for relation in RELATIONS))
    @classmethod
    def _long_enough(cls, seconds: float, info: ValidationInfo) -> float:
        faults = broken(str(info.field_name), seconds, info.data)
        if faults:
            raise ValueError("; ".join(faults))
        return seconds

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read and check all variables at once.

        Raises:
            ConfigurationFault: lists every variable that is missing, invalid, unknown or in conflict with another.

        """
        options = extended(cls)
        hidden = secrets(options)
        reading = environment.read(environ, known=set(variables(options)), secrets=hidden)
        given = {_field(name): value for name, value in reading.values.items()}
        faults: dict[str, str] = {}
        try:
            # A secret whose file cannot be read gets ``...``, which no field accepts: its default must not be used.
            settings = options.model_validate(
                {**dict.fromkeys(map(_field, reading.faults.keys() & hidden), ...), **given}
            )
        except ValidationError as refusal:
            faults = _explained(refusal, variables(options))
        faults |= reading.faults
        if faults:
            raise ConfigurationFault(_listed(faults))
        settings._texts = reading.values  # noqa: SLF001 - its own class
        return settings

    @property
    def keys_prefix(self) -> str:
        """The prefix of every key in Redis."""
        return self.redis_prefix or self.topology_prefix

    def effective(self) -> dict[str, str]:
        """The effective values, by variable, as written. Secrets are redacted; a value that is not set is empty."""
        hidden = secrets(type(self))
        return {name: self._shown(name, field, hidden) for name, field in variables(type(self)).items()}

    def fingerprint(self) -> str:
        """Alike for all processes that were given the same values, secrets included. Too short to find one by it."""
        values = sorted((name, value) for name, value in self._texts.items() if name not in OF_ONE_PROCESS)
        return hashlib.sha256(repr(values).encode()).hexdigest()[:8]

    def in_the_open(self) -> list[str]:
        """The variables whose service is on another machine and reached without encryption."""
        values = {name: getattr(self, _field(name)) for name in variables(type(self)) if name.endswith("_URL")}
        urls = {name: it.get_secret_value() if isinstance(it, Secret) else it for name, it in values.items()}
        return [name for name, url in urls.items() if url and unencrypted(url)]

    def _shown(self, name: str, field: FieldInfo, hidden: Collection[str]) -> str:
        if name in hidden:
            value = getattr(self, _field(name))
            return "" if value is None else str(value)
        return self._texts.get(name, field.default or "")


def variables(options: type[Settings] = Settings) -> dict[str, FieldInfo]:
    """Every option, by its variable: those of this package, unless ``options`` has more."""
    return {PREFIX + name.upper(): field for name, field in options.model_fields.items()}


def secrets(options: type[Settings] = Settings) -> frozenset[str]:
    """The variables that may also be given as a file, and are never printed."""
    return frozenset(name for name, field in variables(options).items() if _holds_secret(field))


def _holds_secret(field: FieldInfo) -> bool:
    kinds = (field.annotation, *get_args(field.annotation))
    return any(isinstance(kind, type) and issubclass(kind, Secret | SecretStr) for kind in kinds)


def _field(variable: str) -> str:
    return variable.removeprefix(PREFIX).lower()


def _explained(refusal: ValidationError, known: Mapping[str, FieldInfo]) -> dict[str, str]:
    """The fault of each variable. Values are not repeated here: the formats' messages do so where it is safe."""
    faults = {}
    for error in refusal.errors(include_url=False, include_input=False):
        name = PREFIX + str(error["loc"][0]).upper()
        if error["type"] == "missing":
            purpose, _, _ = str(known[name].description).partition(". ")
            faults[name] = f"is missing. {purpose.rstrip('.')}."
        else:
            faults[name] = str(error.get("ctx", {}).get("error") or error["msg"])
    return faults


def _listed(faults: Mapping[str, str]) -> str:
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return "\n".join([f"{count} in the configuration:", *(f"  {name}: {fault}" for name, fault in faults.items())])
