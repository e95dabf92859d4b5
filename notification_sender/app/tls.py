"""TLS of each connection to our own services, from the settings."""

import ssl
from base64 import b64decode
from typing import Any

from notification_sender.adapters.http.connector import public
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.tls import Tls, TlsFile, TlsOptions
from notification_sender.settings import Settings
from notification_sender.settings.tls import tls_files
from notification_sender.settings.urls import options_of


def broker_address(settings: Settings) -> BrokerAddress:
    """The address of RabbitMQ."""
    url = settings.amqp_url.get_secret_value()
    given = options_of(url)
    data = given.get("cadata")
    more = {
        "ca_folder": given.get("capath"),
        "ca_data": b64decode(data) if data else None,
        "verify": given.get("no_verify_ssl", "0") == "0",
    }
    return BrokerAddress(url, Tls(_options("RabbitMQ", "amqp", settings, **more)))


def redis_tls(settings: Settings) -> Tls:
    """TLS of every connection to Redis."""
    given = options_of(settings.redis_url.get_secret_value())
    minimum = ssl.TLSVersion(int(given.get("ssl_min_version", ssl.TLSVersion.TLSv1_2)))
    more = {
        "ca_folder": given.get("ssl_ca_path"),
        "ca_data": given.get("ssl_ca_data"),
        "password": given.get("ssl_password"),
        "verify": given.get("ssl_cert_reqs", "required") != "none",
        "check_name": given.get("ssl_check_hostname", "true").lower() not in {"false", "0"},
    }
    return Tls(_options("Redis", "redis", settings, minimum=minimum, **more))


def smtp_tls(settings: Settings) -> Tls:
    """TLS of every connection to the mail server."""
    return Tls(_options("the mail server", "smtp", settings))


def api_tls(settings: Settings, *, third_party: bool = False) -> Tls:
    """TLS of the calls of our APIs. A third party may be known to the system alone, and gets no certificate of ours."""
    options = _options("the API", "api", settings, public=third_party)
    if third_party:
        options = TlsOptions(options.service, options.variables, ca=options.ca, public=True)
    return Tls(options, system=public)


def _options(service: str, connection: str, settings: Settings, **more: Any) -> TlsOptions:
    files = {end: TlsFile(*given) for end, given in tls_files(connection, settings).items()}
    return TlsOptions(
        service,
        f"NS_{connection.upper()}",
        ca=files.get("ca"),
        certificate=files.get("cert"),
        key=files.get("key"),
        **more,
    )
