"""The Python client as the end-to-end tests drive it: JSON lines in, one JSON line out for each.

    python -m tests.integration.sdk_driver

Every SDK has such a program. The first line configures the reader; a read's value is base64, or null::

    {"op":"configure","bucket":"b","endpoint":"http://127.0.0.1:9000","region":"us-east-1",
     "path_style":true,"prefixes":["lfs/"],"max_size":0,"on_missing":"raise"}         {"outcome":"ok"}
    {"op":"read","value":"aGVsbG8="}        the whole value
    {"op":"stream","value":"aGVsbG8="}      in chunks       {"outcome":"blob","length":5,"sha256":"<hex>"}
    {"op":"poll","values":["aGVsbG8=",null],"concurrency":8,"max_bytes":268435456}      in parallel
                        {"outcome":"ok","records":[{"outcome":"blob","length":5,"sha256":"<hex>","message":""},...]}
    {"op":"produce","bootstrap":"host:port","topic":"t","file":"/path","algorithm":"md5",
     "content_type":"a/b","expected":true}
    {"op":"upload","url":"http://host:port","topic":"t","file":"/path","algorithm":"md5",
     "content_type":"a/b"}                                  {"outcome":"ok","partition":0,"offset":7}

``outcome`` of a read is blob, ordinary, skipped or the error's name. A poll's records are in the order of its
values, each as ``read`` would answer. Credentials come from AWS_ variables.
"""

from __future__ import annotations

import hashlib
import json
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from lfsproxy.client import (
    BlobReader,
    LfsError,
    Resolved,
    ResolvedRecord,
    Uploader,
    checksum_of,
    lfs_headers,
    resolve_records,
)

CHUNK_BYTES = 256 * 1024
DELIVERY_SECONDS = 120


class Driver:
    """Holds the reader that ``configure`` made."""

    def __init__(self) -> None:
        self._reader: BlobReader | None = None

    def answer(self, line: dict[str, Any]) -> dict[str, Any]:
        """What to answer to one line."""
        operations: dict[str, Callable[..., dict[str, Any]]] = {
            "configure": self._configure,
            "read": self._read,
            "stream": self._stream,
            "poll": self._poll,
            "produce": produce,
            "upload": upload,
        }
        try:
            return operations[line.pop("op")](**line)
        except LfsError as error:
            return _failed(error)

    def _configure(self, **options: Any) -> dict[str, Any]:
        self._reader = BlobReader(**options)
        return {"outcome": "ok"}

    def _read(self, value: str | None) -> dict[str, Any]:
        assert self._reader is not None
        return _resolved(self._reader.resolve(_bytes(value)))

    def _poll(self, values: list[str | None], concurrency: int, max_bytes: int) -> dict[str, Any]:
        assert self._reader is not None
        records = (Record(_bytes(value), offset) for offset, value in enumerate(values))
        given = resolve_records(self._reader, records, max_bytes=max_bytes, concurrency=concurrency)
        return {"outcome": "ok", "records": [_answered(each) for each in given]}

    def _stream(self, value: str | None) -> dict[str, Any]:
        assert self._reader is not None
        given = _bytes(value)
        digest, length = hashlib.sha256(), 0
        with self._reader.open(given) as blob:
            while blob.stream is not None and (chunk := blob.read(CHUNK_BYTES)):
                digest.update(chunk)
                length += len(chunk)
        outcome = "skipped" if blob.missing else "ordinary" if blob.envelope is None else "blob"
        return _handed_over(outcome, length, digest.hexdigest())


@attrs.frozen
class Record:
    """As a Kafka client would hand it over."""

    value: bytes | None
    offset: int
    topic: str = "driver"
    partition: int = 0


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else b64decode(value)


def _answered(each: ResolvedRecord[Record]) -> dict[str, Any]:
    if each.resolved is not None:
        return _resolved(each.resolved)
    if isinstance(each.error, LfsError):
        return _failed(each.error)
    raise each.error or AssertionError


def _resolved(resolved: Resolved) -> dict[str, Any]:
    outcome = "skipped" if resolved.missing else "ordinary" if resolved.envelope is None else "blob"
    data = resolved.value or b""
    return _handed_over(outcome, len(data), hashlib.sha256(data).hexdigest())


def _failed(error: LfsError) -> dict[str, Any]:
    return {"outcome": error.problem, "length": None, "sha256": None, "message": str(error)}


def _handed_over(outcome: str, length: int, sha256: str) -> dict[str, Any]:
    return {"outcome": outcome, "length": length, "sha256": sha256, "message": ""}


def produce(
    bootstrap: str, topic: str, file: str, algorithm: str, content_type: str, expected: bool
) -> dict[str, Any]:
    """One record by confluent-kafka."""
    from confluent_kafka import Producer

    value = Path(file).read_bytes()
    checksum = checksum_of(value, algorithm) if expected else None
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "message.max.bytes": len(value) + 1024 * 1024,
            "broker.address.family": "v4",
        }
    )
    done: list[dict[str, Any]] = []

    def delivered(error: Any, message: Any) -> None:
        done.append(
            {"outcome": "error", "message": str(error)}
            if error is not None
            else {"outcome": "ok", "partition": message.partition(), "offset": message.offset()}
        )

    producer.produce(
        topic, value, headers=[*lfs_headers(checksum, algorithm, content_type)], on_delivery=delivered
    )
    producer.flush(DELIVERY_SECONDS)
    return done[0] if done else {"outcome": "error", "message": f"nothing after {DELIVERY_SECONDS} s"}


def upload(url: str, topic: str, file: str, algorithm: str, content_type: str) -> dict[str, Any]:
    """One record over HTTP."""
    with Uploader(url) as proxy, open(file, "rb") as body:
        published = proxy.upload(topic, body, algorithm=algorithm, content_type=content_type)
    return {"outcome": "ok", "partition": published.partition, "offset": published.offset}


if __name__ == "__main__":
    driver = Driver()
    for text in sys.stdin:
        print(json.dumps(driver.answer(json.loads(text))), flush=True)
