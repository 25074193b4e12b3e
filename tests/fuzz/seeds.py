"""What the fuzzing begins with: the captures of real clients and brokers, cut into what each reader reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lfsproxy.wire.batch import parse_batch_header
from lfsproxy.wire.scan import uncompressed
from tests.wire.test_captures import Exchange, exchanges, produces

EVERY = ("Produce", "Metadata", "ApiVersions", "FindCoordinator", "DescribeCluster")


def request_frames() -> Iterator[bytes]:
    """Requests as they came over a connection."""
    for exchange in exchanges(*EVERY):
        yield exchange.request_frame * 2


def response_frames() -> Iterator[bytes]:
    """Answers as they came over a connection."""
    for exchange in exchanges(*EVERY):
        if exchange.fields["response"]:
            yield exchange.response_frame * 2


def request_bodies(api: str) -> Iterator[bytes]:
    """A byte with the version, then what follows the client id."""
    for exchange in exchanges(api):
        yield _versioned(exchange, exchange.request[1])


def response_bodies(*apis: str) -> Iterator[bytes]:
    """A byte with the version, then what follows the correlation id."""
    for exchange in exchanges(*apis):
        if exchange.fields["response"]:
            yield _versioned(exchange, exchange.response[1])


def _versioned(exchange: Exchange, body: bytes) -> bytes:
    return bytes([exchange.fields["api_version"]]) + body


def batches() -> Iterator[bytes]:
    """Record batches in every codec."""
    for _, records in produces():
        yield records


def areas() -> Iterator[bytes]:
    """A byte with the codec, then a batch's records, uncompressed."""
    for _, records in produces():
        header = parse_batch_header(records)
        yield bytes([header.codec]) + b"".join(bytes(piece) for piece in uncompressed([records], header))


Seeds = Callable[[], Iterator[bytes]]
