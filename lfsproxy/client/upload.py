"""Uploads over the proxy's HTTP API: streamed, verified at the end, with typed errors. Blocks.

with Uploader("http://localhost:8080") as proxy, open("image.png", "rb") as file:
    published = proxy.upload("demo-topic", file, content_type="image/png")
"""

from __future__ import annotations

import json
import os
import stat
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from json import JSONDecodeError
from typing import Any, BinaryIO, Self, TypeGuard, TypeVar
from urllib.parse import quote, urlencode

import attrs
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from lfsproxy.checksums import AllChecksums, Buffer, Checksum, new_checksum, parse_checksum
from lfsproxy.client.errors import ProxyUnavailable
from lfsproxy.client.mark import DEFAULT_ALGORITHM
from lfsproxy.client.places import check_authorities, checked_api
from lfsproxy.client.problems import error_of
from lfsproxy.client.results import Progress
from lfsproxy.client.retry import check_seconds
from lfsproxy.client.strangers import stranger, why_failed
from lfsproxy.envelope import Envelope, parse_envelope
from lfsproxy.errors import ChecksumMismatch, OutcomeUnknown
from lfsproxy.words import error_text

CHUNK_BYTES = 256 * 1024
CONNECT_SECONDS = 5.0
SILENT_SECONDS = 900.0
"""How long the proxy may take no byte, and may take to answer after the last: stores assemble in silence."""

Body = Buffer | BinaryIO | Iterable[Buffer]

T = TypeVar("T")


@attrs.frozen
class Published:
    """A record that Kafka has acknowledged. ``timestamp`` is in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    envelope: Envelope


class Uploader:
    """Uploads to the proxy at ``url``. May be shared by threads; ``close`` lets its connections go.

    ``api_key`` is sent as a bearer token. ``ca_bundle`` is a file of certificates to trust, ``client_cert``
    and ``client_key`` are files for mutual TLS. ``connect_timeout`` and ``silent_timeout`` are seconds.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        ca_bundle: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        connect_timeout: float = CONNECT_SECONDS,
        silent_timeout: float = SILENT_SECONDS,
    ) -> None:
        self.url = checked_api("url", url)
        check_seconds("connect_timeout", connect_timeout, zero=False)
        check_seconds("silent_timeout", silent_timeout, zero=False)
        if ca_bundle is not None:
            check_authorities("ca_bundle", ca_bundle)
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=connect_timeout, read=silent_timeout),
            ca_certs=ca_bundle,
            cert_file=client_cert,
            key_file=client_key,
        )
        self._pool.pool_classes_by_scheme = _patient_pools(silent_timeout)

    def upload(
        self,
        topic: str,
        body: Body,
        key: str | bytes | None = None,
        partition: int | None = None,
        headers: Iterable[tuple[str, bytes]] = (),
        filename: str | None = None,
        content_type: str | None = None,
        timestamp: int | None = None,
        checksum: str | None = None,
        algorithm: str | None = None,
        on_progress: Progress | None = None,
    ) -> Published:
        """Upload bytes, a file (from where it stands) or pieces, and publish the envelope.

        Memory: 256 KiB, or one piece. ``checksum`` is hex of ``algorithm`` (sha256 where it is None), which
        is also the envelope's: a body with another one is refused. In any case the envelope's checksum is
        compared with that of the bytes sent. ``filename`` becomes the header lfs-filename. ``on_progress`` is
        called with the bytes sent so far.

        Raises InvalidChecksum before anything is sent; ChecksumMismatch; ProxyUnavailable where nothing was
        published; OutcomeUnknown where the record may have been published; and what the proxy answers
        (``lfsproxy.client.problems``): UnknownTopic, TooLarge, StoreUnavailable, Draining, and others.
        """
        path, sent = question(
            topic,
            body,
            on_progress,
            key=key,
            partition=partition,
            headers=headers,
            filename=filename,
            content_type=content_type,
            timestamp=timestamp,
            checksum=checksum,
            algorithm=algorithm,
        )
        return published(self._post(path, sent), sent.checksum)

    def _post(self, path: str, sent: Sent) -> bytes:
        headers = {"Content-Type": "application/octet-stream", **self._headers}
        if sent.length is not None:
            headers["Content-Length"] = str(sent.length)
        try:
            answer: BaseHTTPResponse = self._pool.urlopen(
                "POST",
                self.url + path,
                body=sent,
                headers=headers,
                retries=False,
                redirect=False,
                chunked=sent.length is None,
            )
        except (HTTPError, OSError, CallersError) as error:
            if sent.failure is not None:
                raise sent.failure from None
            if who := stranger(error):
                raise ProxyUnavailable(
                    f"{self.url} is no HTTP server, so nothing was published: {who}"
                ) from error
            raise sent.lost(self.url, why_failed(error, "SSL_CERT_FILE")) from error
        if answer.status != 201:
            raise error_of(answer.status, answer.data)
        return answer.data

    def close(self) -> None:
        """Close the connections that are kept for reuse."""
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def question(
    topic: str,
    body: Body,
    on_progress: Progress | None,
    *,
    key: str | bytes | None,
    partition: int | None,
    headers: Iterable[tuple[str, bytes]],
    filename: str | None,
    content_type: str | None,
    timestamp: int | None,
    checksum: str | None,
    algorithm: str | None,
) -> tuple[str, Sent]:
    """Path and body of an upload; see ``Uploader.upload``. Raises InvalidChecksum."""
    if checksum is not None:
        checksum = parse_checksum(algorithm or DEFAULT_ALGORITHM, checksum)
        algorithm = algorithm or DEFAULT_ALGORITHM
    options = {
        "partition": partition,
        "content_type": content_type,
        "timestamp": timestamp,
        "checksum": checksum,
        "checksum_algo": algorithm,
    }
    query: list[tuple[str, str | bytes]] = [(n, str(v)) for n, v in options.items() if v is not None]
    if isinstance(key, str):
        query.append(("key", key))
    elif key is not None:
        query.append(("key_base64", b64encode(key)))
    if filename is not None:
        headers = [*headers, ("lfs-filename", filename.encode("utf-8", "surrogateescape"))]
    query += [("header", name.encode("utf-8") + b":" + value) for name, value in headers]
    sent = Sent(body, new_checksum(algorithm) if algorithm else AllChecksums(), on_progress)
    return f"/v1/topics/{quote(topic, safe='')}/records?{urlencode(query)}", sent


class CallersError(Exception):
    """In place of what the caller's code raises: urllib3 takes an OSError for one of the connection."""


class Sent:
    """A body on its way: its pieces, and what is known of them. ``length`` is in bytes, None: not known.

    ``begun`` is set when the proxy was reached, ``whole`` before the last byte is handed over; ``failure`` is
    what reading the body raised, or telling of its progress.
    """

    def __init__(self, body: Body, checksum: Checksum, on_progress: Progress | None) -> None:
        self._body = body
        self.checksum = checksum
        self._on_progress = on_progress
        self._sent = 0
        self.length = length_of(body)
        self._left = self.length
        self.begun = self.whole = False
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[Buffer]:
        self.begun = True
        pieces = _pieces(self._body)
        while (piece := self._called(lambda: next(pieces, None))) is not None:
            if self._left is not None:
                # A file that grows meanwhile is sent as long as it was.
                piece = piece[: self._left]
                self._left -= len(piece)
            if not piece:
                continue
            self.checksum.update(piece)
            # With a length, the last byte may be enough for the proxy; without one, the end comes after it.
            self.whole = self._left == 0
            yield piece
            self._sent += len(piece)
            self._tell()
        if self._left:
            self.failure = EOFError(f"the body ended {self._left} bytes before its length")
            raise self.failure
        if not self._sent:
            self._tell()
        self.whole = True

    def lost(self, url: str, why: str) -> ProxyUnavailable | OutcomeUnknown:
        """What to raise where there is no answer."""
        if not self.begun:
            return ProxyUnavailable(f"the proxy at {url} cannot be reached: {why}")
        if not self.whole:
            return ProxyUnavailable(
                f"the connection to {url} was lost before the end of the upload, so nothing was "
                f"published: {why}"
            )
        return OutcomeUnknown(
            f"the upload to {url} failed, and it is not known whether it was published: {why}"
        )

    def _tell(self) -> None:
        tell = self._on_progress
        if tell is not None:
            self._called(lambda: tell(self._sent))

    def _called(self, call: Callable[[], T]) -> T:
        """What the caller's own code returns; what it raises becomes ``failure``."""
        try:
            return call()
        except Exception as error:
            self.failure = error
            raise CallersError from error


def _pieces(body: Body) -> Iterator[Buffer]:
    if isinstance(body, Buffer):
        view = memoryview(body).cast("B")
        return (bytes(view[start : start + CHUNK_BYTES]) for start in range(0, len(view), CHUNK_BYTES))
    return iter(lambda: body.read(CHUNK_BYTES), b"") if _is_file(body) else iter(body)


def _is_file(body: Body) -> TypeGuard[BinaryIO]:
    return hasattr(body, "read")


def length_of(body: Body) -> int | None:
    """Bytes of a body: of a regular file from where it stands; None where nobody knows."""
    if isinstance(body, Buffer):
        return memoryview(body).nbytes
    if isinstance(body, str):
        raise TypeError("a body is bytes, a file or pieces of bytes, and no text: encode it")
    if not _is_file(body):
        return None
    try:
        status = os.fstat(body.fileno())
    except (AttributeError, OSError):
        return None
    return max(0, status.st_size - body.tell()) if stat.S_ISREG(status.st_mode) else None


def published(answer: bytes, checksum: Checksum) -> Published:
    try:
        fields = json.loads(answer)
        if not isinstance(fields, dict):
            raise ValueError("it is no JSON object")
        envelope = parse_envelope(json.dumps(fields["envelope"]).encode())
        place = {name: fields[name] for name in ("topic", "partition", "offset", "timestamp")}
    except JSONDecodeError as error:
        raise OutcomeUnknown("the answer to the upload is not JSON, so it is not the proxy's") from error
    except (ValueError, TypeError, KeyError) as error:
        raise OutcomeUnknown(
            f"the proxy's answer to the upload is not understood: {error_text(error)}"
        ) from error
    if envelope is None:
        raise OutcomeUnknown("the proxy's answer to the upload has no envelope")
    if isinstance(checksum, AllChecksums):
        checksum.choose(envelope.checksum_algo)
    if (envelope.checksum_algo, envelope.checksum) != (checksum.name, checksum.hexdigest()):
        raise ChecksumMismatch(checksum.name, checksum.hexdigest(), envelope.checksum)
    return Published(envelope=envelope, **place)


def _patient_pools(seconds: float) -> dict[str, Any]:
    """Pools whose connections wait this long for the proxy to take a byte.

    urllib3 sends under the time for connecting, but a proxy that waits for memory or the store pauses a body.
    """

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(seconds)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(seconds)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
