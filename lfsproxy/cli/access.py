"""How the commands reach Kafka: addresses, TLS and sign-in, from options or the proxy's own variables."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from lfsproxy.broker.config import security_arguments
from lfsproxy.broker.signing import Identity, SigningClient
from lfsproxy.cli.options import all_of, bootstrap_option
from lfsproxy.errors import SettingError
from lfsproxy.settings import flag, load_settings, variable

SECURITY = {
    "kafka_security_protocol": "How that address is spoken to: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
    "kafka_sasl_mechanism": "How to sign in there.",
    "kafka_sasl_username": "User name of the sign-in.",
    "kafka_sasl_password_file": "File with its password or token; or set LFS_KAFKA_SASL_PASSWORD.",
    "kafka_tls_ca": "PEM file of the authorities to trust. Empty: the system's.",
    "kafka_tls_cert": "PEM file of a client certificate, with chain.",
    "kafka_tls_key": "PEM file of that certificate's key.",
}
"""Settings that are options of the commands too, and their help."""
PASSWORD = variable("kafka_sasl_password")
"""No option: other users of the machine see those."""

kafka_options: Callable[[Any], Any] = all_of(
    bootstrap_option,
    *[
        click.option(f"--{flag(name)}", name, envvar=variable(name), show_envvar=True, help=text)
        for name, text in SECURITY.items()
    ],
)


def kafka_access(
    arguments: dict[str, Any], client: Callable[..., SigningClient] = SigningClient
) -> dict[str, Any]:
    """Take the ``kafka_options`` out of a command's arguments: kafka-python's arguments for any client.

    ``client`` is its network client's class. Raises SettingError.
    """
    given = {name: arguments.pop(name) for name in SECURITY}
    settings = load_settings({PASSWORD: os.environ.get(PASSWORD, "")}, given).settings
    if not settings.has_identity:
        raise SettingError(
            f"LFS_KAFKA_SECURITY_PROTOCOL is '{settings.kafka_security_protocol}': "
            "it needs LFS_KAFKA_SASL_MECHANISM"
        )
    return {
        "bootstrap_servers": arguments.pop("bootstrap").split(","),
        "client_id": "lfsproxy-cli",
        "kafka_client": partial(client, Identity(settings, "lfsproxy")),
        "bootstrap_timeout_ms": 10_000,
        "metrics_enabled": False,
        **security_arguments(settings),
    }
