"""The options themselves: why each is there, its default, its range."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    PrivateAttr,
    Secret,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from notification_sender.model.errors import ConfigurationFault
from notification_sender.settings import environment
from notification_sender.settings.environment import PREFIX
from notification_sender.settings.forms import (
    AmqpUrl,
    ApiUrl,
    Delays,
    Duration,
    Folder,
    Form,
    Mailbox,
    Networks,
    OwnDelays,
    Ports,
    RedisUrl,
    SecretUrl,
    SmtpUrl,
    Throttle,
    plaintext,
)
from notification_sender.settings.relations import RELATIONS, broken

Budget = Annotated[int | None, Field(ge=1, le=100_000), Form("1 to 100000")]
Share = Annotated[float, Field(gt=0, le=1), Form("above 0, up to 1")]
EvictionPolicy = Annotated[str | None, Field(pattern=r"^[a-z-]+$"), Form("name of a policy, such as `allkeys-lru`")]
QueueName = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9_.:-]+$"), Form("letters, digits, `_.:-`")]


def _option(default: object, why: str, **rules: Any) -> Any:
    """A field whose default is written as in the environment, and is checked like a value from there."""
    return Field(default, description=why, **rules)


def _required(why: str, **rules: Any) -> Any:
    return Field(description=why, **rules)


class Settings(BaseSettings):
    """One frozen object. Built by ``load`` alone: nothing is read at import, and never a ``.env`` file.

    An option is checked against those above it, so that all faults are found in one pass: in every relation
    the other option stands first.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    environment: Literal["production", "development"] = _option(
        "production",
        "`production` refuses every development switch (`memory://`, `starttls=none`), so that none goes live "
        "by accident.",
    )
    amqp_url: AmqpUrl = _required(
        "RabbitMQ, where work units come from. `memory://` in development only: it forgets all when it stops."
    )
    redis_url: RedisUrl = _required(
        "Redis: the ledger, the limits, the cache of the whole fleet. `memory://` in development only."
    )
    accept_eviction: EvictionPolicy = _option(
        None,
        "A `maxmemory-policy` of Redis that is put up with although it may forget what was delivered. `noeviction` and "
        "`volatile-ttl` need no leave; any other is refused at start in production, and warned of in development.",
    )
    topology_prefix: QueueName = _option(
        "notification-sender", "Begins the name of every queue and exchange, so that two fleets can share a broker."
    )
    units_queue: QueueName | None = _option(
        None, "Another input queue, where publishers already have one; else `<prefix>.units`."
    )
    events: Literal["on", "off"] = _option(
        "on", "Tell on the exchange `<prefix>.events` how every attempt ended. `off` saves a connection a process."
    )
    incidents_url: ApiUrl = _required("Incidents API: the subject of most units.")
    intel_requests_url: ApiUrl = _required("Intel requests API.")
    assets_url: ApiUrl = _required("Assets API.")
    aaa_url: ApiUrl = _required("AAA API: organizations with their destinations, and tokens.")
    geocoding_url: ApiUrl = _required("Reverse geocoding: it gets no token and no trace, it may be a third party.")
    aaa_client_id: str = _required("Who we are to the AAA API.", min_length=1)
    aaa_client_secret: SecretStr = _required("Proves it.", min_length=1)
    smtp_url: SmtpUrl = _option(
        None,
        "Mail server. TLS is required; `?starttls=none` in development only. Without it emails end dead, "
        "`channel_not_configured`.",
    )
    email_from: Mailbox = _option(None, "Sender of every email; its domain ends every `Message-ID`.")
    email_on_unknown: Literal["resend", "hold"] = _option(
        "resend",
        "When a connection broke before the mail server had answered: send again, at the risk of a second "
        "copy, or keep it as a dead letter for a person to decide.",
    )
    secrets_dir: Folder | None = _option(
        None, "Folder of signing secrets, a file each: destinations name them, so that no message holds one."
    )
    ca_dir: Folder | None = _option(
        None,
        "Folder of certificate authorities, a PEM file each: a destination that names one trusts it and no other.",
    )
    templates_dir: Folder | None = _option(None, "Folder of your own templates; else the shipped ones.")
    concurrency: int = _option(
        "200", "Deliveries in hand in one process: what the memory and the APIs behind it bear.", ge=1, le=10_000
    )
    organization_share: Share = _option(
        "0.5",
        "How much of these one organization may hold while its work is slow; what is more is put off. Whose receivers "
        "answer within a second may hold all of them.",
    )
    destination_share: Share = _option("0.25", "The same for what is being sent to one destination.")
    throttle_webhook: Throttle = _option(
        "600/minute burst 60", "What one organization is sent by webhook at most, by the whole fleet together."
    )
    throttle_email: Throttle = _option("600/minute burst 60", "The same by email.")
    throttle_horizon: Duration = _option(
        "1h", "How far ahead a slot is booked for what is throttled; later ones ask again at that time."
    )
    disable_after: Duration = _option(
        "5d",
        "A destination that has accepted nothing for so long, though it was tried, is switched off for a week: what "
        "comes meanwhile is suppressed.",
    )
    retry_schedule: Delays = _option(
        "5s 5m 30m 2h 5h 10h 14h 20h 24h",
        "Delays between attempts, each spread by 10 %; after the last the notification is dead, `exhausted`.",
    )
    retry_schedule_webhook: OwnDelays = _option(None, "Another schedule for webhooks; else `NS_RETRY_SCHEDULE`.")
    retry_schedule_email: OwnDelays = _option(None, "Another schedule for emails; else `NS_RETRY_SCHEDULE`.")
    delivery_max_age: Duration = _option(
        "7d",
        "A notification that is so old, from when its unit was first seen or due, is neither tried nor put off again, "
        "whatever held it up and whatever the schedule has left: it is dead, `exhausted`.",
    )
    max_distance: int = _option(
        "5", "How deep the APIs follow dependents: each level multiplies what one unit costs them.", ge=1, le=10
    )
    current_incidents: Literal["auto", "on", "off"] = _option(
        "auto", "The fast path for incidents; `auto` asks each organization's `use_current_incidents_cache`."
    )
    allowed_cidrs: Networks = _option(
        "", "Private networks that webhooks may reach, `http://` included. All others are refused at connect."
    )
    webhook_ports: Ports = _option("443, 8443", "Ports that webhooks may reach elsewhere.")
    aaa_budget: Budget = _option(
        None, "Calls to the AAA API that all processes together have under way at most; each has 200 at most."
    )
    incidents_budget: Budget = _option(None, "The same for the incidents API.")
    intel_requests_budget: Budget = _option(None, "The same for the intel requests API.")
    assets_budget: Budget = _option(None, "The same for the assets API.")
    geocoding_budget: Budget = _option(None, "The same for geocoding.")
    api_timeout: Duration = _option(
        "10s", "One call of an internal API, from its slot to its last byte; for a slot it waits as long at most."
    )
    gather_timeout: Duration = _option("20s", "All facts of one unit together; then the unit is put off.")
    send_timeout: Duration = _option("15s", "One attempt at a recipient, to the last byte of its answer.")
    lease: Duration = _option(
        "30s", "A claim that is not renewed for so long is free for others: what was in hand of a worker that died."
    )
    max_age: Duration = _option(
        "24h", "A unit that our own APIs kept waiting for so long is dead, `context_unavailable`."
    )
    ledger_ttl: Duration = _option(
        "7d", "How long a delivery is remembered: for so long the same unit is not sent again."
    )
    grace: Duration = _option("25s", "From SIGTERM to exit. Keep it below the 30 s after which Kubernetes kills a pod.")
    http_host: str = _option("0.0.0.0", "Address of `/livez`, `/readyz`, `/metrics` and `/status`.", min_length=1)
    http_port: int = _option("8080", "Their port; 0 takes any that is free.", ge=0, le=65_535)
    log_format: Literal["json", "text"] = _option("json", "`json` for machines, `text` for people.")
    log_level: Literal["debug", "info", "warning", "error", "critical"] = _option("info", "The least that is logged.")

    _texts: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("amqp_url", "redis_url")
    @classmethod
    def _memory_in_development(cls, url: SecretUrl, info: ValidationInfo) -> SecretUrl:
        if url.scheme == "memory" and info.data.get("environment") == "production":
            raise ValueError("memory:// keeps nothing: it needs NS_ENVIRONMENT=development")
        return url

    @field_validator("smtp_url")
    @classmethod
    def _encrypted_in_production(cls, url: SecretUrl | None, info: ValidationInfo) -> SecretUrl | None:
        if url is not None and plaintext(url) and info.data.get("environment") == "production":
            raise ValueError(
                "starttls=none shows mail and password to the network: it needs NS_ENVIRONMENT=development"
            )
        return url

    @field_validator("email_from")
    @classmethod
    def _with_a_mail_server(cls, sender: str | None, info: ValidationInfo) -> str | None:
        if "smtp_url" in info.data and (sender is None) != (info.data["smtp_url"] is None):
            raise ValueError("goes with NS_SMTP_URL: set both, or none of them")
        return sender

    @field_validator(*dict.fromkeys(relation.option for relation in RELATIONS))
    @classmethod
    def _long_enough(cls, seconds: float, info: ValidationInfo) -> float:
        faults = broken(str(info.field_name), seconds, info.data)
        if faults:
            raise ValueError("; ".join(faults))
        return seconds

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **_others: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what ``load`` hands over: its own sources ignore unknown names, and one of them reads ``.env``."""
        return (init_settings,)

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read and check everything at once.

        Raises:
            ConfigurationFault: every variable that is missing, invalid, unknown, or does not go with another.

        """
        reading = environment.read(environ, known=set(variables()), secrets=secrets())
        given = {_field(name): value for name, value in reading.values.items()}
        faults: dict[str, str] = {}
        try:
            # Nothing is concluded from the default of a secret whose file cannot be read: no field accepts this.
            settings = cls.model_validate(
                {**dict.fromkeys(map(_field, reading.faults.keys() & secrets()), ...), **given}
            )
        except ValidationError as refusal:
            faults = _explained(refusal)
        faults |= reading.faults
        if faults:
            raise ConfigurationFault(_listed(faults))
        settings._texts = reading.values  # noqa: SLF001 - its own class
        return settings

    def effective(self) -> dict[str, str]:
        """What holds, by variable, as it was written; secrets redacted, an empty text where nothing is set."""
        return {name: self._shown(name, field) for name, field in variables().items()}

    def _shown(self, name: str, field: FieldInfo) -> str:
        if name in secrets():
            value = getattr(self, _field(name))
            return "" if value is None else str(value)
        return self._texts.get(name, field.default or "")


def variables() -> dict[str, FieldInfo]:
    """Every option by its variable."""
    return {PREFIX + name.upper(): field for name, field in Settings.model_fields.items()}


def secrets() -> frozenset[str]:
    """The variables that may also be given as a file, and are never shown."""
    return frozenset(name for name, field in variables().items() if _holds_secret(field))


def _holds_secret(field: FieldInfo) -> bool:
    kinds = (field.annotation, *get_args(field.annotation))
    return any(isinstance(kind, type) and issubclass(kind, Secret | SecretStr) for kind in kinds)


def _field(variable: str) -> str:
    return variable.removeprefix(PREFIX).lower()


def _explained(refusal: ValidationError) -> dict[str, str]:
    """What is wrong with each variable. Values are not repeated: the messages of the forms do where it is safe."""
    faults = {}
    for error in refusal.errors(include_url=False, include_input=False):
        name = PREFIX + str(error["loc"][0]).upper()
        if error["type"] == "missing":
            faults[name] = f"is missing. {variables()[name].description}"
        else:
            faults[name] = str(error.get("ctx", {}).get("error") or error["msg"])
    return faults


def _listed(faults: Mapping[str, str]) -> str:
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return "\n".join([f"{count} in the configuration:", *(f"  {name}: {fault}" for name, fault in faults.items())])
