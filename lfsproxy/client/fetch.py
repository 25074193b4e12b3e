"""One blob's bytes by GET, blocking: retried before the first byte, and taken up again where they stopped.

A dropped connection is followed by a ranged GET from the next byte on, tied to the same object by If-Match.
Tries are counted from the last progress, so that a long download may be interrupted often.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

import attrs
import urllib3
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from lfsproxy.client.cancelling import Cancellation
from lfsproxy.client.strangers import stranger, why_failed
from lfsproxy.envelope import Envelope
from lfsproxy.errors import (
    BlobMissing,
    BlobTruncated,
    LfsError,
    ReadInterrupted,
    StoreRefused,
    StoreUnavailable,
)
from lfsproxy.s3.signing import S3Location, sign
from lfsproxy.words import error_text

TRIES = 5
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_ERROR_BYTES = 16 * 1024


class Credentials(Protocol):
    """What botocore's credentials are asked for before every request."""

    def get_frozen_credentials(self) -> ReadOnlyCredentials: ...


@attrs.frozen
class Transport:
    """How blobs are asked for. ``location`` names endpoint and region; its bucket is replaced.

    ``sleep`` replaces the pause between two tries, which a cancellation ends.
    """

    location: S3Location
    credentials: Callable[[], Credentials]
    pool: urllib3.PoolManager
    sleep: Callable[[float], None] | None = None
    rng: random.Random = attrs.field(factory=random.Random)

    def get(self, envelope: Envelope, first: int, etag: str | None) -> BaseHTTPResponse:
        """Send one GET for the bytes from ``first`` on.

        Raises urllib3's HTTPError or OSError, and StoreRefused where no credentials can be had.
        """
        location = attrs.evolve(self.location, bucket=envelope.s3_bucket)
        headers = {"Accept-Encoding": "identity"}
        if first:
            headers["Range"] = f"bytes={first}-"
        if etag:
            headers["If-Match"] = etag
        try:
            frozen = self.credentials().get_frozen_credentials()
        except (BotoCoreError, ClientError) as error:
            raise StoreRefused(f"no S3 credentials can be had: {error_text(error)}") from error
        signed = sign(location, frozen, "GET", envelope.s3_key, headers=headers)
        url = urlsplit(signed.url)
        # Straight to the host's pool: the manager would resolve "." and ".." in the path, which was signed.
        pool = self.pool.connection_from_host(url.hostname, url.port, url.scheme)
        return pool.urlopen(
            "GET",
            url.path,
            headers=dict(signed.headers),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )


class BlobBytes:
    """The bytes of one blob in their order, not verified. The first GET is sent by ``start``."""

    def __init__(self, transport: Transport, envelope: Envelope, cancellation: Cancellation) -> None:
        self._transport = transport
        self._envelope = envelope
        self._cancellation = cancellation
        self._response: BaseHTTPResponse | None = None
        self._etag: str | None = None
        self._position = 0
        self._failures = 0

    def start(self) -> None:
        """Send the GET.

        Raises BlobMissing, BlobTruncated, StoreRefused, StoreUnavailable, or ReadInterrupted when cancelled.
        """
        while self._response is None:
            self._check_cancelled()
            try:
                self._response = self._opened()
            except (HTTPError, OSError, _TryAgain) as error:
                self._pause(error)

    def read(self, size: int) -> bytes:
        """Up to ``size`` next bytes; none at the end of what the store sends. Raises as ``start`` does."""
        while True:
            self.start()
            assert self._response is not None
            try:
                data = self._response.read(size)
            except (HTTPError, OSError) as error:
                self.close()
                self._pause(error)
                continue
            if not data:
                self._check_cancelled()  # The end may be that of a socket that was shut.
            else:
                self._failures = 0
                self._position += len(data)
            return data

    def close(self) -> None:
        """Let go of the connection: it is reused when the response was read to its end."""
        response, self._response = self._response, None
        self._cancellation.watch(None)  # The connection may be another read's soon.
        if response is not None:
            if response.length_remaining:
                response.close()
            else:
                response.release_conn()

    def _opened(self) -> BaseHTTPResponse:
        with self._cancellation.asking():
            response = self._transport.get(self._envelope, self._position, self._etag)
        if response.status == (206 if self._position else 200):
            self._check_length(response)
            self._etag = response.headers.get("ETag")
            return response
        try:
            text = response.read(_ERROR_BYTES).decode("utf-8", "replace")
        finally:
            response.close()
        raise self._refusal(response.status, text)

    def _check_length(self, response: BaseHTTPResponse) -> None:
        length = response.headers.get("Content-Length", "")
        wanted = self._envelope.content_length
        if length.isdecimal() and int(length) + self._position != wanted:
            response.close()
            raise BlobTruncated(
                f"the blob {self.name} has {int(length) + self._position} bytes, its envelope says {wanted}"
            )

    def _check_cancelled(self) -> None:
        if self._cancellation.cancelled:
            raise ReadInterrupted(f"the read of the blob {self.name} was cancelled")

    @property
    def name(self) -> str:
        """Bucket and key."""
        return f"{self._envelope.s3_bucket}/{self._envelope.s3_key}"

    def _refusal(self, status: int, text: str) -> Exception:
        code = text.partition("<Code>")[2].partition("</Code>")[0]
        said = f"{status} {code}".strip()
        if status == 404 and code != "NoSuchBucket":
            return BlobMissing(f"the blob {self.name} is missing")
        if status in _RETRIED:
            return _TryAgain(f"the store answers {said}")
        if self._position and status in (200, 412, 416):
            return StoreUnavailable(
                f"the blob {self.name} cannot be read on after {self._position} bytes: {said}"
            )
        endpoint = self._transport.location.named
        other = "" if code else ", which does not answer as S3 does: is that its address?"
        return StoreRefused(f"the store refuses to give the blob {self.name}: {said} from {endpoint}{other}")

    def _pause(self, error: Exception) -> None:
        """Wait before the next try; raise StoreUnavailable after the last, ReadInterrupted if cancelled."""
        self._check_cancelled()
        self._failures += 1
        if self._failures >= TRIES:
            who = stranger(error)
            why = f"it is no HTTP server, {who}" if who else why_failed(error, "LFS_S3_CA or AWS_CA_BUNDLE")
            endpoint = self._transport.location.named
            raise StoreUnavailable(f"the blob {self.name} cannot be read from {endpoint}: {why}") from error
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._failures - 1))
        sleep = self._transport.sleep or self._cancellation.pause
        sleep(longest * self._transport.rng.uniform(0.5, 1.0))


class _TryAgain(LfsError):
    """The store has answered with an error that may pass."""
