"""How the commands reach Kafka: addresses, TLS and sign-in, from options or the proxy's own variables."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import attrs
import click
from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from lfsproxy.cli.kafka_log import silence_kafka_log
from lfsproxy.cli.options import all_of, bootstrap_option
from lfsproxy.cli.signing import Identity, SigningClient
from lfsproxy.cli.unreached import tls_context, why_unreached
from lfsproxy.errors import BrokerUnavailable, SettingError
from lfsproxy.quoting import quoted
from lfsproxy.settings import Settings, check_files, flag, load_settings, setting_table, variable
from lfsproxy.settings.hosts import Address
from lfsproxy.wire.sasl import TokenProvider, client_name
from lfsproxy.words import error_text

T = TypeVar("T")

SECURITY = {
    "kafka_security_protocol": "How that address is spoken to: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
    "kafka_sasl_mechanism": "How to sign in there.",
    "kafka_sasl_username": "User name of the sign-in.",
    "kafka_sasl_password_file": "File with its password or token; or set LFS_KAFKA_SASL_PASSWORD.",
    "kafka_oauth_token_url": "URL to fetch OAUTHBEARER's token from, by client credentials.",
    "kafka_oauth_client_id": "Client id at that token server.",
    "kafka_oauth_client_secret_file": "File with its secret; or set LFS_KAFKA_OAUTH_CLIENT_SECRET.",
    "kafka_oauth_scope": "Scope to ask for.",
    "kafka_oauth_ca": "PEM file of the authorities that the token server is trusted by. Empty: the system's.",
    "kafka_oauth_extensions": "SASL extensions that go with the token, name=value with commas between them.",
    "kafka_tls_ca": "PEM file of the authorities to trust. Empty: the system's.",
    "kafka_tls_cert": "PEM file of a client certificate, with chain.",
    "kafka_tls_key": "PEM file of that certificate's key.",
}
"""Settings that are options of the commands too, and their help."""
SECRETS = (variable("kafka_sasl_password"), variable("kafka_oauth_client_secret"))
"""No options: other users of the machine see those."""

kafka_options: Callable[[Any], Any] = all_of(
    bootstrap_option,
    *[
        click.option(f"--{flag(name)}", name, envvar=variable(name), show_envvar=True, help=text)
        for name, text in SECURITY.items()
    ],
)


def open_client(
    make: Callable[..., T],
    arguments: dict[str, Any],
    client: Callable[..., SigningClient] = SigningClient,
    **more: Any,
) -> T:
    """A client of kafka-python. Takes the ``kafka_options`` out of a command's arguments.

    ``client`` is its network client's class. Raises SettingError, and BrokerUnavailable where no broker is
    reached.
    """
    silence_kafka_log()
    given = {name: arguments.pop(name) for name in SECURITY}
    loaded = load_settings({name: os.environ.get(name, "") for name in SECRETS}, given)
    check_files(loaded)
    settings = loaded.settings
    if not settings.has_identity:
        raise SettingError(
            f"LFS_KAFKA_SECURITY_PROTOCOL is '{settings.kafka_security_protocol}': "
            "it needs LFS_KAFKA_SASL_MECHANISM"
        )
    if settings.uses_tls:
        tls_context(settings)
    addresses = _addresses(arguments.pop("bootstrap"))
    identity = Identity(settings, "lfsproxy")
    if settings.kafka_oauth_token_url:
        # kafka-python tries without end where there is no token, and says nothing.
        identity.credentials()
    try:
        return make(
            bootstrap_servers=[str(attrs.evolve(each, host=each.host or "localhost")) for each in addresses],
            client_id="lfsproxy-cli",
            kafka_client=partial(client, identity),
            bootstrap_timeout_ms=10_000,
            metrics_enabled=False,
            **security_arguments(settings, identity),
            **more,
        )
    except (KafkaTimeoutError, KafkaConnectionError):
        raise BrokerUnavailable(f"Kafka is not reached: {why_unreached(addresses, settings)}") from None


def _addresses(text: str) -> tuple[Address, ...]:
    try:
        found: tuple[Address, ...] = setting_table()["kafka_brokers"].parse(text)
    except ValueError as error:
        raise click.UsageError(f"--bootstrap is {quoted(text)}: {error_text(error)}") from None
    return found


def security_arguments(settings: Settings, identity: Identity) -> dict[str, Any]:
    """TLS and the proxy's own sign-in. Certificates are read from their files for each connection.

    The password is put in by lfsproxy.cli.signing, as it is then; a token is asked for here.
    """
    arguments: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
    if settings.uses_tls:
        arguments |= {
            "ssl_check_hostname": True,
            "ssl_cafile": settings.kafka_tls_ca or None,
            "ssl_certfile": settings.kafka_tls_cert or None,
            "ssl_keyfile": settings.kafka_tls_key or None,
        }
    if settings.uses_sasl:
        mechanism = settings.kafka_sasl_mechanism
        arguments |= {
            "sasl_mechanism": mechanism,
            "sasl_plain_username": client_name(mechanism, settings.kafka_sasl_username),
            # Some of kafka-python's checks want one when a client is made.
            "sasl_plain_password": settings.kafka_sasl_password,
            "sasl_oauth_token_provider": TokenProvider(
                lambda: identity.credentials()[2], settings.kafka_oauth_extensions
            ),
        }
    return arguments
