"""What is counted and measured."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import Interface


class IMetrics(Interface):
    """What is counted (docs/reference/metrics.md lists it). ``result`` is ok, client_error,
    store_error, broker_error or cancelled; ``path`` is kafka, http or tus; times are in seconds."""

    def upload(path: str, topic: str, result: str, size: int, seconds: float) -> None:
        """An upload ended. ``size`` counts only when the result is ok: published bytes."""

    def download(topic: str, result: str, size: int, seconds: float) -> None:
        """A download ended; ``size`` is in bytes that the client was given."""

    def hydration(topic: str | None, result: str, size: int) -> None:
        """What became of an envelope in an answer to a Kafka consumer. ``topic`` is one that is there, None
        where it is not known which; ``result`` is ok, too_large, not_allowed, missing, corrupt, store_error
        or cancelled; ``size`` is in bytes of the blob that the consumer was given."""

    def hydration_time(seconds: float) -> None:
        """An answer with blobs has left: from the broker's to its last byte."""

    def publish(seconds: float) -> None:
        """The broker answered a publish of the HTTP door."""

    def s3_operation(operation: str, result: str, seconds: float) -> None:
        """One request to the store ended."""

    def s3_retry(operation: str) -> None:
        """A request to the store is sent again."""

    def kafka_connection(change: int) -> None:
        """A Kafka client connection opened (+1) or closed (-1)."""

    def kafka_request(api: str, seconds: float | None) -> None:
        """A Kafka request was answered; seconds is the time added by the proxy, None where not measured."""

    def kafka_closed(reason: str) -> None:
        """The proxy closed a Kafka client's connection by itself."""

    def refused(door: str, reason: str) -> None:
        """A client was turned away when it connected. ``door`` is kafka or http; ``reason`` is all, address
        or descriptors: the limit that was reached."""

    def http_connection(change: int) -> None:
        """An HTTP client connection opened (+1) or closed (-1)."""

    def http_closed(reason: str) -> None:
        """The proxy closed an HTTP client's connection by itself, while something was to come from the
        client: handshake, head, body or answer (which it did not take); or, for a new one, room."""

    def http_request(route: str, method: str, status: int) -> None:
        """An HTTP request was answered; route is the pattern, or ``unmatched``."""

    def checksum_mismatch(path: str) -> None:
        """Bytes did not have the checksum that the client gave."""

    def orphan(reason: str) -> None:
        """A blob or a multipart upload stays in the store without a known envelope."""

    def memory(gauge: Callable[[], int], limit: int) -> None:
        """How to read the upload memory in use, and its limit, both in bytes."""
