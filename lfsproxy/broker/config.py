"""The one place that turns settings into kafka-python's keyword arguments."""

from __future__ import annotations

from typing import Any

from lfsproxy.settings import Settings
from lfsproxy.wire.sasl import TokenProvider, client_name

CLIENT_ID = "lfsproxy"
REQUEST_SECONDS = 20.0
"""How long one request to a broker may take; also the time a broker may wait for its replicas (acks=all)."""
DELIVERY_SECONDS = 30.0
"""How long a record may take from send to its answer, kafka-python's own retries included."""
METADATA_SECONDS = 10.0
"""How long a question to the cluster (metadata, offsets) may take before Kafka counts as unavailable."""

ANSWER_OVERHEAD = 1024 * 1024
"""Bytes of an answer besides its batch: names, and the aborted transactions of the partition."""


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def security_arguments(settings: Settings) -> dict[str, Any]:
    """TLS and the proxy's own sign-in. Certificates are read from their files for each connection.

    The password is put in by lfsproxy.broker.signing, as it is then; a token is asked for here.
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
            "sasl_oauth_token_provider": TokenProvider(lambda: settings.sasl_credentials()[2]),
        }
    return arguments


def connection_arguments(settings: Settings) -> dict[str, Any]:
    """What every kafka-python client needs to reach the cluster with the proxy's own identity."""
    return {
        "bootstrap_servers": [
            str(address) if address.host else f"localhost:{address.port}"
            for address in settings.kafka_brokers
        ],
        "client_id": CLIENT_ID,
        **security_arguments(settings),
        "retry_backoff_ms": 200,
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": 1000,
    }


def cluster_arguments(settings: Settings) -> dict[str, Any]:
    """For the connections that ask for metadata and offsets: many questions at once, each answered soon."""
    return {
        **connection_arguments(settings),
        # Less than half, so that a broker that hangs leaves time to ask another one.
        "request_timeout_ms": _milliseconds(METADATA_SECONDS * 0.4),
        "socket_connection_setup_timeout_ms": _milliseconds(METADATA_SECONDS * 0.4),
        "max_in_flight_requests_per_connection": 1000,
        "receive_message_max_bytes": fetch_limit(settings),
    }


def fetch_limit(settings: Settings) -> int:
    """Bytes of the largest answer that is taken from a broker: a batch that the proxy may pass on, and more
    than enough for what is around it."""
    return settings.max_passthrough_size + ANSWER_OVERHEAD


def producer_arguments(settings: Settings, idempotent: bool) -> dict[str, Any]:
    """For the producer of envelopes: acks=all and one request in flight.

    A broker without InitProducerId (``idempotent`` False) cannot tell a retry from a new record, so there a
    batch that was sent is never sent again.
    """
    arguments = {
        **connection_arguments(settings),
        "acks": "all",
        "enable_idempotence": idempotent,
        "max_in_flight_requests_per_connection": 1,
        "linger_ms": 0,
        "max_request_size": settings.max_passthrough_size,
        "request_timeout_ms": _milliseconds(REQUEST_SECONDS),
        "delivery_timeout_ms": _milliseconds(DELIVERY_SECONDS),
        "max_block_ms": _milliseconds(METADATA_SECONDS),
        "bootstrap_timeout_ms": _milliseconds(METADATA_SECONDS),
        "metrics_enabled": False,
    }
    if not idempotent:
        arguments["retries"] = 0
    return arguments


def consumer_arguments(settings: Settings) -> dict[str, Any]:
    """For a consumer without a group that reads single partitions from a given offset."""
    return {
        **connection_arguments(settings),
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "request_timeout_ms": _milliseconds(REQUEST_SECONDS),
        "bootstrap_timeout_ms": _milliseconds(METADATA_SECONDS),
    }
