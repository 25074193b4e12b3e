"""How each of the tests' clients is told to sign in and to speak TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lfsproxy.wire.sasl import TokenProvider
from tests.integration.clients import java
from tests.integration.clients.python import kafka_python, librdkafka
from tests.integration.clients.records import Outcome
from tests.integration.secured import PASSWORDS, SecuredKafka, secret

_PACKAGE = "org.apache.kafka.common.security"

Config = dict[str, Any]


def of_librdkafka(kafka: SecuredKafka, protocol: str, mechanism: str = "", user: str = "alice") -> Config:
    """For ``librdkafka`` and ``read_topic``; TLS always with the certificate of ``kafka.me``."""
    config: Config = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        config |= {
            "ssl_ca_location": str(kafka.authority.file),
            "ssl_certificate_location": str(kafka.me.certificate),
            "ssl_key_location": str(kafka.me.key),
        }
    if mechanism == "OAUTHBEARER":
        config |= {
            "enable_sasl_oauthbearer_unsecure_jwt": "true",
            "sasl_oauthbearer_config": f"principal={user}",
        }
    elif mechanism:
        config |= {"sasl_username": user, "sasl_password": PASSWORDS[user]}
    return {**config, **({"sasl_mechanism": mechanism} if mechanism else {})}


def of_kafka_python(kafka: SecuredKafka, protocol: str, mechanism: str = "", user: str = "alice") -> Config:
    """For ``kafka_python``."""
    config: Config = {"security_protocol": protocol, "bootstrap_timeout_ms": 10_000}
    if protocol.endswith("SSL"):
        config |= {
            "ssl_cafile": str(kafka.authority.file),
            "ssl_certfile": str(kafka.me.certificate),
            "ssl_keyfile": str(kafka.me.key),
        }
    if mechanism:
        config |= {
            "sasl_mechanism": mechanism,
            "sasl_plain_username": user,
            "sasl_plain_password": PASSWORDS[user],
            "sasl_oauth_token_provider": TokenProvider(lambda: secret(mechanism, user)),
        }
    return config


def of_java(kafka: SecuredKafka, protocol: str, mechanism: str = "", user: str = "alice") -> Config:
    """For ``java.produce``."""
    config: Config = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        config |= {
            "ssl_truststore_type": "PEM",
            "ssl_truststore_location": str(kafka.authority.file),
            "ssl_keystore_type": "PEM",
            "ssl_keystore_location": str(kafka.me.combined),
        }
    if mechanism:
        named = f'username="{user}" password="{PASSWORDS[user]}"'
        module = {
            "PLAIN": f"plain.PlainLoginModule required {named}",
            "OAUTHBEARER": "oauthbearer.OAuthBearerLoginModule required "
            f'unsecuredLoginStringClaim_sub="{user}"',
        }.get(mechanism, f"scram.ScramLoginModule required {named}")
        config |= {"sasl_mechanism": mechanism, "sasl_jaas_config": f"{_PACKAGE}.{module};"}
    return config


CLIENTS: dict[str, tuple[Callable[..., list[Outcome]], Callable[..., Config]]] = {
    "librdkafka": (librdkafka, of_librdkafka),
    "kafka-python": (kafka_python, of_kafka_python),
    "java": (java.produce, of_java),
}
"""Name to how it produces, and how it is configured."""
