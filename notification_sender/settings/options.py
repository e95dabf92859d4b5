"""The options: purpose, default and range of each."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from notification_sender.settings.formats import (
    AmqpUrl,
    ApiUrl,
    Budget,
    Delays,
    Duration,
    ExistingFolder,
    Form,
    HostName,
    Mailbox,
    Names,
    NameServers,
    Nat64Prefixes,
    Networks,
    OwnDelays,
    Ports,
    Processes,
    RedisUrl,
    SmtpUrl,
    Throttle,
)

Fraction = Annotated[float, Field(gt=0, le=1), Form("above 0, up to 1")]
EvictionPolicy = Annotated[str | None, Field(pattern=r"^[a-z-]+$"), Form("name of a policy, such as `allkeys-lru`")]
QueueName = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9_.:-]+$"), Form("letters, digits, `_.:-`")]


def _option(default: object, why: str, **rules: Any) -> Any:
    """An option with a default. The default is written as in the environment and checked like a value from there."""
    return Field(default, description=why, **rules)


def _required(why: str, **rules: Any) -> Any:
    return Field(description=why, **rules)


class Options(BaseModel):
    """All options. An option is checked against the options above it, so that one pass finds all faults.

    So in every relation between two options, the other option must come first.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
        arbitrary_types_allowed=True,
        defer_build=True,  # nobody makes this one: ``Settings`` is built at its first use
    )

    environment: Literal["production", "development"] = _option(
        "production",
        "`production` refuses development settings (`memory://`, options that weaken TLS), so that none goes live by "
        "accident.",
    )
    amqp_url: AmqpUrl = _required(
        "RabbitMQ, the source of work units. TLS: `NS_AMQP_CA`, or the options `cafile`, `capath`, "
        "`cadata`, `certfile`, `keyfile`. In development only: `no_verify_ssl=1`, and `memory://`, which loses "
        "everything when the worker stops."
    )
    redis_url: RedisUrl = _required(
        "Redis: the ledger, the limits and the shared cache of the fleet. TLS: `NS_REDIS_CA`, or the "
        "options `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`. In development only: options that weaken TLS, such as "
        "`ssl_cert_reqs=none`, and `memory://`."
    )
    accept_eviction: EvictionPolicy = _option(
        None,
        "Allows an eviction policy (`maxmemory-policy`) that can drop delivery records, which risks duplicates. "
        "`noeviction` and `volatile-ttl` are always allowed. In production the worker refuses to start with any other; "
        "in development it warns.",
    )
    topology_prefix: QueueName = _option(
        "notification-sender", "Prefix of every queue and exchange name, so that two fleets can share a broker."
    )
    redis_prefix: QueueName | None = _option(
        None,
        "Prefix of every key in Redis; else `NS_TOPOLOGY_PREFIX`. Give it the old prefix when the queues move to a new "
        "one: the ledger then knows what was delivered.",
    )
    units_queue: QueueName | None = _option(
        None, "Another input queue, if publishers already have one; else `<prefix>.units`."
    )
    events: Literal["on", "off"] = _option(
        "on",
        "Publish the outcome of every attempt on the exchange `<prefix>.events`. `off` saves one connection a process.",
    )
    traces: Literal["on", "off"] = _option(
        "off",
        "Export traces by OTLP. Needs the extra `otel`. The standard variables `OTEL_…` say where to, which share, and "
        "under which name.",
    )
    incidents_url: ApiUrl = _required("Incidents API: the incidents, which are the subject of most units.")
    intel_requests_url: ApiUrl = _required("Intel requests API: the requests about an incident, and their results.")
    assets_url: ApiUrl = _required("Assets API: the names, types and places of assets.")
    aaa_url: ApiUrl = _required("AAA API: organizations with their destinations, and tokens.")
    geocoding_url: ApiUrl = _required(
        "Reverse geocoding API. It may be a third party, so it gets no token and no trace."
    )
    aaa_client_id: str = _required("The worker's client id at the AAA API.", min_length=1)
    aaa_client_secret: SecretStr = _required("The worker's client secret at the AAA API.", min_length=1)
    smtp_url: SmtpUrl = _option(
        None,
        "Mail server. TLS is required; `?starttls=none` in development only. If not set, emails are dead, "
        "`channel_not_configured`.",
    )
    email_from: Mailbox = _option(None, "Sender of every email. Its domain is the domain of every `Message-ID`.")
    email_helo: HostName = _option(
        None,
        "The worker's name at EHLO. Else the full name of this machine, or its address (`[192.0.2.1]`) if it has none. "
        "Many mail servers refuse a name without a dot.",
    )
    email_on_unknown: Literal["resend", "hold"] = _option(
        "resend",
        "When a connection breaks before the mail server's answer: `resend` sends again and risks a second copy; "
        "`hold` makes the email a dead letter, for an operator to decide.",
    )
    secrets_dir: ExistingFolder | None = _option(
        None,
        "Folder of signing secrets. It holds a folder per organization, with a file per secret. Destinations name "
        "secrets, so that no message contains one.",
    )
    shared_secrets: Names = _option(
        "",
        "Secrets that every organization's destinations may use: files directly in `NS_SECRETS_DIR`, or `*` for all of "
        "them. Every publisher of units can have webhooks signed with such a key.",
    )
    unsigned: Literal["allow", "refuse"] = _option(
        "allow",
        "If a webhook's destination names no `secret`: `allow` sends it unsigned, `refuse` makes it dead, `schema`.",
    )
    ca_dir: ExistingFolder | None = _option(
        None,
        "Folder of certificate authorities, one PEM file each. A destination that names one trusts only this one. A "
        "file may hold a root, an issuing authority, or only the server's certificate.",
    )
    templates_dir: ExistingFolder | None = _option(None, "Folder of your own templates; else the shipped templates.")
    concurrency: int = _option(
        "200",
        "Deliveries in progress in one process at most. Choose what its memory and the APIs can bear. The worker uses "
        "fewer slots while its CPU is overloaded.",
        ge=1,
        le=10_000,
    )
    processes: Processes = _option(
        "1",
        "Worker processes of one `run`, each with all of these slots. `auto`: one for each processor of the affinity "
        "mask, and no more than the CPU limit of the container. `run --processes` has precedence.",
    )
    organization_share: Fraction = _option(
        "0.5",
        "Share of these slots that one organization may hold while its work is slow; further work is deferred. An "
        "organization whose endpoints answer within 1 s may use every slot.",
    )
    destination_share: Fraction = _option(
        "0.25", "Share of the slots that sends to one destination may hold while it is slow."
    )
    throttle_webhook: Throttle = _option(
        "600/minute burst 60", "Webhooks that the whole fleet sends to one organization at most."
    )
    throttle_email: Throttle = _option(
        "600/minute burst 60", "Emails that the whole fleet sends to one organization at most."
    )
    throttle_horizon: Duration = _option(
        "1h",
        "How far ahead a throttled notification may book its slot. For a later slot it asks again after this time.",
    )
    disable_after: Duration = _option(
        "5d",
        "A destination that accepts nothing for this long, although it was tried, is switched off for 7 days. "
        "Notifications for it are suppressed meanwhile.",
    )
    max_destinations: int = _option(
        "10000",
        "Destinations that one work unit may have; a unit with more is dead, `schema`. The worker splits a unit with "
        "more than 32 into units of 32.",
        ge=1,
        le=100_000,
    )
    retry_schedule: Delays = _option(
        "5s 5m 30m 2h 5h 10h 14h 20h 24h",
        "Delays between attempts, each with ± 10 % jitter. After the last the notification is dead, `exhausted`.",
    )
    retry_schedule_webhook: OwnDelays = _option(None, "Another schedule for webhooks; else `NS_RETRY_SCHEDULE`.")
    retry_schedule_email: OwnDelays = _option(None, "Another schedule for emails; else `NS_RETRY_SCHEDULE`.")
    delivery_max_age: Duration = _option(
        "7d",
        "Age at which a notification is dead, `exhausted`, whatever delayed it and whatever the schedule has left. Its "
        "age counts from when its unit was first seen or due. The time of a pause does not count.",
    )
    max_distance: int = _option(
        "5", "How deep the APIs follow dependents. Each level multiplies the cost of a unit for them.", ge=1, le=10
    )
    current_incidents: Literal["auto", "on", "off"] = _option(
        "auto", "The fast path for incidents. `auto` follows each organization's `use_current_incidents_cache`."
    )
    allowed_cidrs: Networks = _option(
        "",
        "Private networks that webhooks may reach, with `http://` too. The worker refuses to connect to all others. "
        "Narrow each to ports and organizations: `10.0.0.0/8:443+8000-8100=org-a+org-b`, `[fd00::/8]:443=org-a`. A "
        "bare network is open on every port to every organization; in production the worker warns of it at start.",
    )
    nat64_prefixes: Nat64Prefixes = _option(
        "",
        "NAT64 prefixes of your network (RFC 6052), besides `64:ff9b::/96`. An address with such a prefix is checked "
        "as the IPv4 address that it stands for.",
    )
    webhook_ports: Ports = _option("443, 8443", "Ports that webhooks may reach outside `NS_ALLOWED_CIDRS`.")
    nameservers: NameServers = _option(
        "",
        "Name servers for recipients' names; else those of `/etc/resolv.conf`. `/etc/hosts` and the system's search "
        "domains apply in both cases. Names of our own services are resolved by the system.",
    )
    aaa_budget: Budget = _option(
        None, "Concurrent calls of the whole fleet to the AAA API at most. One process makes 200 at most."
    )
    incidents_budget: Budget = _option(None, "Concurrent calls of the whole fleet to the incidents API at most.")
    intel_requests_budget: Budget = _option(
        None, "Concurrent calls of the whole fleet to the intel requests API at most."
    )
    assets_budget: Budget = _option(None, "Concurrent calls of the whole fleet to the assets API at most.")
    geocoding_budget: Budget = _option(None, "Concurrent calls of the whole fleet to the geocoding API at most.")
    api_timeout: Duration = _option(
        "10s", "Limit of one call of an internal API, from its slot to the last byte. It waits as long for its slot."
    )
    api_objective: Duration = _option(
        "1s",
        "An internal API is `slow` when half of its last 20 answers began later than this. `/status`, a metric and a "
        "log event report it. The worker calls it all the same.",
    )
    gather_timeout: Duration = _option("20s", "Limit for gathering all facts of one unit; then the unit is deferred.")
    send_timeout: Duration = _option("15s", "Limit of one delivery attempt, to the last byte of the answer.")
    lease: Duration = _option(
        "30s", "A claim that is not renewed for this long expires, and other workers take over a dead worker's work."
    )
    max_age: Duration = _option(
        "24h",
        "Age at which a unit is dead, `context_unavailable`, if its facts cannot be gathered from our own APIs. The "
        "time of a pause does not count.",
    )
    story_ttl: Duration | None = _option(
        None,
        "How long the attempts of a notification, with the recipient's answers, are kept after the last attempt; else "
        "2d, or `NS_LEDGER_TTL` if that is shorter.",
    )
    ledger_ttl: Duration = _option(
        "7d", "How long the ledger keeps a delivery record. For this long the same unit is not sent again."
    )
    grace: Duration = _option(
        "25s", "Time from SIGTERM to exit. Keep it below the 30 s after which Kubernetes kills a pod."
    )
    http_host: str = _option(
        "0.0.0.0", "Listen address of `/livez`, `/readyz`, `/metrics` and `/status`.", min_length=1
    )
    http_port: int = _option(
        "8080", "Port of `/livez`, `/readyz`, `/metrics` and `/status`; 0: any free port.", ge=0, le=65_535
    )
    liveness: Duration = _option(
        "30s",
        "Time without progress of the event loop after which `/livez` answers 503; `5s` or more. A parent of several "
        "workers kills such a worker.",
        ge=5,
    )
    metrics_top_organizations: int = _option(
        "20",
        "How many organizations have series of their own in `notification_sender_organization_outcomes_total`: the "
        "busiest. All others share one. 0 names none: `/metrics` then shows no id of an organization.",
        ge=0,
        le=500,
    )
    status: Literal["loopback", "open"] = _option(
        "loopback",
        "Which clients may read `/status`, which names APIs and recipients' hosts: `loopback`, only clients on the "
        "same machine or pod; `open`, every client that reaches the port.",
    )
    event_loop: Literal["uvloop", "asyncio"] = _option(
        "uvloop",
        "Event loop of the worker. `uvloop` needs a tenth less CPU; `asyncio` is Python's own, and also used where "
        "uvloop is not installed.",
    )
    log_format: Literal["json", "text"] = _option("json", "Log format: `json` for machines, `text` for people.")
    log_level: Literal["debug", "info", "warning", "error", "critical"] = _option(
        "info", "Lowest level that is logged."
    )
