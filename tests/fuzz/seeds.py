"""What the fuzzing begins with: the captures of real clients and brokers, cut into what each reader reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lfsproxy.wire.batch import parse_batch_header
from lfsproxy.wire.fetch_answers import read_fetch_answer
from lfsproxy.wire.scan import uncompressed
from lfsproxy.wire.walk import batches as batches_of
from tests.wire.helpers import CODECS
from tests.wire.test_captures import Exchange, exchanges, produces
from tests.wire.test_fetch import fetches

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


def fetch_requests() -> Iterator[bytes]:
    """A byte with the version, then what follows the client id."""
    for exchange in fetches():
        yield _versioned(exchange, exchange.request[1])


def fetch_answers() -> Iterator[bytes]:
    """A byte with the version, then what follows the correlation id."""
    for exchange in fetches():
        yield _versioned(exchange, exchange.response[1])


def batches() -> Iterator[bytes]:
    """Record batches in every codec."""
    for _, records in produces():
        yield records


def areas() -> Iterator[bytes]:
    """A byte with the codec, then a batch's records, uncompressed."""
    for _, records in produces():
        header = parse_batch_header(records)
        yield bytes([header.codec]) + b"".join(bytes(piece) for piece in uncompressed([records], header))


def fetched() -> Iterator[bytes]:
    """Record batches in every codec, as consumers get them, with envelopes."""
    for answer in fetch_answers():
        for topic in read_fetch_answer(answer[0], answer[1:]).topics:
            for batch in batches_of(topic.partitions[0].records or b""):
                yield bytes(batch.data)


def fetched_areas() -> Iterator[bytes]:
    """A byte with the codec and the count, then the records of such a batch, uncompressed."""
    for batch in fetched():
        header = parse_batch_header(batch)
        if not header.is_control:
            area = b"".join(bytes(piece) for piece in uncompressed([batch], header))
            yield bytes([header.codec + len(CODECS) * header.count]) + area


Seeds = Callable[[], Iterator[bytes]]
