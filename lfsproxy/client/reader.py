"""Resolves record values: an envelope to the blob behind it, anything else to itself. Blocks.

What happens to an envelope, in this order: it is recognised; its content_length is checked against
``max_size``, its bucket and key against what is allowed; then the blob is fetched, and verified on the way.
"""

from __future__ import annotations

import io
import logging
import os
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, Self

import attrs
import urllib3
from botocore.credentials import Credentials as StaticCredentials
from botocore.session import Session

from lfsproxy.client.cancelling import Cancellation, cancellable_pool
from lfsproxy.client.fetch import BlobBytes, Credentials, Transport
from lfsproxy.client.file import BlobFile
from lfsproxy.client.recognise import check_size, recognise
from lfsproxy.client.stream import BlobStream
from lfsproxy.envelope import DEFAULT_PREFIXES, Envelope, check_place
from lfsproxy.errors import BlobMissing, LfsError, ReadInterrupted, SettingError, StoreRefused
from lfsproxy.quoting import quoted
from lfsproxy.s3.signing import S3Location
from lfsproxy.settings import setting_table, variable
from lfsproxy.words import error_text

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0

OnMissing = Literal["raise", "skip", "envelope"]

_log = logging.getLogger(__name__)


@attrs.frozen
class Resolution:
    """What ``on_resolve`` is told when an envelope has been dealt with.

    ``result`` is ok, closed (closed or cancelled before the end), or the name of what went wrong
    (``LfsError.problem``: blob-missing, checksum-mismatch, ...); ``size`` is in bytes received, ``seconds``
    from the start of the fetch to its end, the time the caller took for reading included.
    """

    envelope: Envelope
    result: str
    size: int
    seconds: float
    error: LfsError | None


@attrs.frozen
class Resolved:
    """A value and where it came from. ``envelope`` is None where the value was an ordinary one.

    ``missing`` is True where the blob is not in the store: then ``value`` is None (on_missing="skip") or the
    envelope's own bytes (on_missing="envelope").
    """

    value: bytes | None
    envelope: Envelope | None = None
    missing: bool = False


class BlobReader:
    """Reads the blobs behind envelopes. May be shared by threads.

    ``bucket``, ``endpoint`` (None: AWS), ``region`` and ``path_style`` say where the blobs are. ``buckets``
    and ``prefixes`` are what envelopes may point to: an envelope is whatever a producer wrote. ``max_size``
    is the most bytes that a blob may have (0: unlimited). ``on_missing`` says what becomes of an envelope
    without its blob: raise BlobMissing, skip (the value is None), or hand over the envelope itself.
    ``on_resolve`` is called after every envelope, in the reading thread. ``credentials`` are botocore's
    (None: its usual chain), ``ca_bundle`` is a file of certificates to trust. ``connect_timeout`` and
    ``read_timeout`` are the seconds that one try may take to connect, and to give the next bytes.
    """

    def __init__(
        self,
        bucket: str,
        endpoint: str | None = None,
        region: str = "us-east-1",
        path_style: bool = False,
        prefixes: Collection[str] = DEFAULT_PREFIXES,
        buckets: Collection[str] | None = None,
        max_size: int = 0,
        on_missing: OnMissing = "raise",
        on_resolve: Callable[[Resolution], None] | None = None,
        credentials: Credentials | None = None,
        ca_bundle: str | None = None,
        connect_timeout: float = CONNECT_SECONDS,
        read_timeout: float = READ_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        **transport: Any,
    ) -> None:
        if isinstance(prefixes, str) or isinstance(buckets, str):
            raise TypeError("prefixes and buckets are collections of strings, not one string")
        if on_missing not in ("raise", "skip", "envelope"):
            raise ValueError(
                f"on_missing is {quoted(str(on_missing))}, one of raise, skip, envelope is needed"
            )
        if max_size < 0:
            raise ValueError(f"max_size is {max_size}, 0 or more is needed")
        self._prefixes = tuple(prefixes)
        self._buckets = frozenset([bucket] if buckets is None else buckets)
        self._max_size = max_size
        self._on_missing = on_missing
        self._on_resolve = on_resolve
        self._credentials = credentials
        self._clock = clock
        timeout = urllib3.Timeout(connect=connect_timeout, read=read_timeout)
        self._transport = Transport(
            location=S3Location(bucket, region, endpoint or None, path_style),
            credentials=self._find_credentials,
            pool=cancellable_pool(timeout=timeout, maxsize=16, ca_certs=ca_bundle),
            **transport,
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **arguments: Any) -> Self:
        """A reader by the proxy's own variables: LFS_S3_BUCKET, _ENDPOINT, _REGION, _PATH_STYLE and _CA.

        AWS_CA_BUNDLE and the credentials are botocore's usual variables. ``arguments`` are those of the
        class and win. Raises SettingError for a variable that cannot be used.
        """
        environment = os.environ if environment is None else environment
        found: dict[str, Any] = {}
        for name in ("bucket", "endpoint", "region", "path_style"):
            info = setting_table()[f"s3_{name}"]
            text = environment.get(variable(f"s3_{name}")) or info.default
            try:
                found[name] = info.parse(text)
            except ValueError as error:
                raise SettingError(f"{variable(f's3_{name}')} is {quoted(text)}: {error}") from None
        found["ca_bundle"] = _authorities(environment, found["endpoint"])
        return cls(**{**found, **arguments})

    def fetch(self, value: bytes | None) -> bytes | None:
        """The blob behind an envelope; any other value as it is. Raises as ``open`` does."""
        return self.resolve(value).value

    def resolve(self, value: bytes | None, cancellation: Cancellation | None = None) -> Resolved:
        """Like ``fetch``, and tells what the value was.

        By ``cancellation`` another thread may end the call, which then raises ReadInterrupted.
        """
        envelope = recognise(value)
        if envelope is None:
            return Resolved(value)
        try:
            with self._stream(envelope, cancellation) as stream:
                return Resolved(stream.read(), envelope)
        except BlobMissing:
            if self._on_missing == "raise":
                raise
            return Resolved(value if self._on_missing == "envelope" else None, envelope, missing=True)

    def open(self, value: bytes | None, cancellation: Cancellation | None = None) -> io.BufferedIOBase | None:
        """The blob behind an envelope as a file to read from; so is any other value.

        None for a null value, and for a missing blob with on_missing="skip". Where the end of a wrong blob
        would be, reading raises ChecksumMismatch or BlobTruncated. A read that anything else broke off (a
        signal handler that raised) cannot be followed by another: that raises ReadInterrupted. By
        ``cancellation`` another thread may end this call, and every read of the file.

        Raises InvalidEnvelope, UnsupportedEnvelope, TooLarge, EnvelopeNotAllowed, BlobMissing,
        BlobTruncated, ChecksumMismatch, StoreRefused, or StoreUnavailable (after own retries).
        """
        envelope = recognise(value)
        if envelope is None:
            return None if value is None else io.BytesIO(value)
        try:
            return self._stream(envelope, cancellation)
        except BlobMissing:
            if self._on_missing == "raise":
                raise
            return io.BytesIO(value or b"") if self._on_missing == "envelope" else None

    def close(self) -> None:
        """Close the connections that are kept for reuse."""
        self._transport.pool.clear()

    def _stream(self, envelope: Envelope, cancellation: Cancellation | None) -> BlobFile:
        started = self._clock()
        given = Cancellation() if cancellation is None else cancellation

        def ended(size: int, verified: bool, error: LfsError | None) -> None:
            if given.cancelled:
                error = None
            result = "ok" if verified else "closed" if error is None else error.problem
            self._report(Resolution(envelope, result, size, self._clock() - started, error))

        source = BlobBytes(self._transport, envelope, given)
        try:
            check_size(envelope, self._max_size)
            check_place(envelope, self._buckets, self._prefixes)
            source.start()
        except LfsError as error:
            ended(0, False, error)
            raise
        except BaseException as error:
            source.close()
            told = ReadInterrupted(f"{type(error).__name__} broke off the request for the blob {source.name}")
            ended(0, False, told)
            raise
        return BlobFile(BlobStream(envelope, source, ended))

    def _report(self, resolution: Resolution) -> None:
        if self._on_resolve is not None:
            try:
                self._on_resolve(resolution)
            except Exception:
                _log.exception("the on_resolve hook has failed")

    def _find_credentials(self) -> Credentials:
        if self._credentials is None:
            found = Session().get_credentials()
            if found is None:
                raise StoreRefused(
                    "no S3 credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                    "or a profile, web identity or instance role"
                )
            self._credentials = found
        return self._credentials


def _authorities(environment: Mapping[str, str], endpoint: str | None) -> str | None:
    """The file of certificates to trust. Raises SettingError where it is none and would be needed."""
    name = next((each for each in ("LFS_S3_CA", "AWS_CA_BUNDLE") if environment.get(each)), None)
    if name is None or (endpoint or "").startswith("http:"):
        return None
    try:
        ssl.create_default_context(cafile=environment[name])
    except OSError as error:
        raise SettingError(
            f"{name} is {quoted(environment[name])}: not usable as PEM certificates ({error_text(error)})"
        ) from None
    return environment[name]


def static_credentials(access_key: str, secret_key: str, token: str | None = None) -> Credentials:
    """Credentials for ``BlobReader`` that never change."""
    return StaticCredentials(access_key, secret_key, token)
