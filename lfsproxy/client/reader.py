"""Resolves record values: an envelope to the blob behind it, anything else to itself. Blocks.

What happens to an envelope, in this order: it is recognised; its content_length is checked against
``max_size``, its bucket and key against what is allowed; then the blob is fetched, and verified on the way.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Mapping
from typing import Self, Unpack, get_args

import urllib3
from botocore.credentials import Credentials as StaticCredentials
from botocore.session import Session

from lfsproxy.client.blob import Blob
from lfsproxy.client.cancelling import Cancellation, cancellable_pool
from lfsproxy.client.download import Download
from lfsproxy.client.fetch import BlobBytes
from lfsproxy.client.file import BlobFile
from lfsproxy.client.options import EnvironmentOptions
from lfsproxy.client.places import check_authorities, checked_endpoint, from_variables
from lfsproxy.client.policy import Policy, Reading
from lfsproxy.client.recognise import as_bytes, recognise
from lfsproxy.client.results import OnMissing, Progress, RecordCoordinates, Resolution, Resolved, Value
from lfsproxy.client.retry import FIRST_PAUSE, TRIES, Retry, check_seconds
from lfsproxy.client.sources import BlobSource, Credentials, S3Source
from lfsproxy.client.stream import BlobStream
from lfsproxy.defaults import DEFAULT_REGION
from lfsproxy.envelope import DEFAULT_PREFIXES, Envelope
from lfsproxy.errors import BlobMissing, LfsError, StoreRefused
from lfsproxy.quoting import quoted
from lfsproxy.s3.signing import S3Location

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
KEPT_CONNECTIONS = 16
"""Idle connections that are kept for each host: as many as an event loop's reader has threads."""


class BlobReader:
    """Reads the blobs behind envelopes. May be shared by threads; a context manager, which closes it.

    ``bucket``, ``endpoint`` (None: AWS), ``region`` and ``path_style`` say where the blobs are; ``source``
    replaces these (lfsproxy.client.sources), and then ``bucket`` only says what envelopes may point to.
    ``buckets`` and ``prefixes`` are what envelopes may point to: an envelope is whatever a producer wrote.
    ``max_size`` is the most bytes that a blob may have (0: unlimited; None: 256 MiB for what is held whole,
    unlimited for streams). ``on_missing`` says what becomes of an envelope without its blob: raise
    BlobMissing, skip (the value is None), or hand over the envelope itself. ``on_resolve`` is called after
    every envelope, in the reading thread. ``credentials`` are botocore's (None: its usual chain),
    ``ca_bundle`` is a file of certificates to trust. ``connect_timeout`` and ``read_timeout`` are the seconds
    that one try may take to connect, and to give the next bytes. ``tries``, ``pause`` and ``retry_time``: see
    lfsproxy.client.retry. Raises ValueError or TypeError that names an argument which cannot be used.
    """

    def __init__(
        self,
        bucket: str | None = None,
        *,
        endpoint: str | None = None,
        region: str = DEFAULT_REGION,
        path_style: bool = False,
        prefixes: Collection[str] = DEFAULT_PREFIXES,
        buckets: Collection[str] | None = None,
        max_size: int | None = None,
        on_missing: OnMissing = "raise",
        on_resolve: Callable[[Resolution], object] | None = None,
        credentials: Credentials | None = None,
        ca_bundle: str | None = None,
        connect_timeout: float = CONNECT_SECONDS,
        read_timeout: float = READ_SECONDS,
        tries: int = TRIES,
        pause: float = FIRST_PAUSE,
        retry_time: float = 0,
        source: BlobSource | None = None,
    ) -> None:
        if isinstance(prefixes, str) or isinstance(buckets, str):
            raise TypeError("prefixes and buckets are collections of strings, not one string")
        if on_missing not in get_args(OnMissing):
            raise ValueError(
                f"on_missing is {quoted(str(on_missing))}, one of {', '.join(get_args(OnMissing))} is needed"
            )
        if max_size is not None and not max_size >= 0:
            raise ValueError(f"max_size is {max_size}, 0 or more is needed")
        if not bucket and (source is None or not (source.by_record or buckets)):
            raise ValueError("bucket is not given: the name of a bucket is needed")
        check_seconds("connect_timeout", connect_timeout, zero=False)
        check_seconds("read_timeout", read_timeout, zero=False)
        if ca_bundle is not None:
            check_authorities("ca_bundle", ca_bundle)
        self._credentials = credentials
        self._retry = Retry(tries, pause, retry_time)
        self._timeouts = (connect_timeout, read_timeout)
        self._ca_bundle = ca_bundle
        timeout = urllib3.Timeout(connect=connect_timeout, read=read_timeout)
        self._http = cancellable_pool(timeout=timeout, maxsize=KEPT_CONNECTIONS, ca_certs=ca_bundle)
        if source is None:
            place = checked_endpoint("endpoint", endpoint) if endpoint else None
            location = S3Location(bucket or "", region or DEFAULT_REGION, place, path_style)
            source = S3Source(location, self._find_credentials)
        self._source = source
        allowed = frozenset([bucket] if buckets is None and bucket else buckets or ())
        checks_place = not source.by_record or bool(allowed)
        self._policy = Policy(allowed, tuple(prefixes), max_size, on_missing, on_resolve, checks_place)

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, **arguments: Unpack[EnvironmentOptions]
    ) -> Self:
        """A reader by the proxy's own variables: LFS_S3_BUCKET, _ENDPOINT, _REGION, _PATH_STYLE and _CA.

        Without LFS_S3_REGION counts AWS_REGION, then AWS_DEFAULT_REGION. AWS_CA_BUNDLE and the credentials
        are botocore's usual variables. ``arguments`` are those of the class and win. Raises SettingError for
        a variable that cannot be used.
        """
        found = from_variables(os.environ if environment is None else environment)
        return cls(**{**found, **arguments})

    def fetch(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
    ) -> bytes | None:
        """The blob behind an envelope; any other value as it is. Raises as ``open`` does."""
        return self.resolve(value, record=record, on_progress=on_progress).value

    def resolve(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
        cancellation: Cancellation | None = None,
    ) -> Resolved:
        """Like ``fetch``, and tells what the value was.

        ``record`` says where the value stands in Kafka: for the hook, and for sources that need it.
        ``on_progress`` is called with the bytes so far. Memory: the blob, once. By ``cancellation`` another
        thread may end the call, which then raises ReadInterrupted.
        """
        given = as_bytes(value)
        envelope = recognise(given)
        if envelope is None:
            return Resolved(given)
        try:
            with self._stream(envelope, record, on_progress, cancellation, whole=True) as stream:
                return Resolved(stream.read(), envelope)
        except BlobMissing as error:
            return Resolved(self._policy.in_place_of(given, error), envelope, missing=True)

    def open(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
        cancellation: Cancellation | None = None,
    ) -> Blob:
        """The blob behind an envelope, to read from; so is any other value. Arguments as of ``resolve``.

        Where the end of a wrong blob would be, reading raises ChecksumMismatch or BlobTruncated. A read that
        anything else broke off (a signal handler that raised) cannot be followed by another: that raises
        ReadInterrupted. By ``cancellation`` another thread may end this call, and every read of the blob.

        Raises InvalidEnvelope, UnsupportedEnvelope, TooLarge, EnvelopeNotAllowed, BlobMissing,
        BlobTruncated, ChecksumMismatch, StoreRefused, or StoreUnavailable (after own retries).
        """
        given = as_bytes(value)
        envelope = recognise(given)
        if envelope is None:
            return Blob(None if given is None else io.BytesIO(given))
        try:
            return Blob(self._stream(envelope, record, on_progress, cancellation, whole=False), envelope)
        except BlobMissing as error:
            found = self._policy.in_place_of(given, error)
            return Blob(None if found is None else io.BytesIO(found), envelope, missing=True)

    def close(self) -> None:
        """Close the connections that are kept for reuse."""
        self._http.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _stream(
        self,
        envelope: Envelope,
        record: RecordCoordinates | None,
        on_progress: Progress | None,
        cancellation: Cancellation | None,
        whole: bool,
    ) -> BlobFile:
        reading = Reading(self._policy, self._retry.clock, envelope, record)
        given = Cancellation() if cancellation is None else cancellation
        download = Download(self._source.name, self._retry, envelope, record)
        source = BlobBytes(self._source, self._http, self._retry, download, given)

        def ended(size: int, verified: bool, error: LfsError | None) -> None:
            reading.ended(size, download.tries, verified, error, given.given_up)

        try:
            self._policy.check(envelope, whole)
            source.start()
        except LfsError as error:
            ended(0, False, error)
            raise
        except BaseException as error:
            source.close()
            ended(0, False, download.broken_off(error))
            raise
        return BlobFile(BlobStream(envelope, source, ended, on_progress))

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


def static_credentials(access_key: str, secret_key: str, token: str | None = None) -> Credentials:
    """Credentials for ``BlobReader`` that never change."""
    return StaticCredentials(access_key, secret_key, token)
