"""Settings make a store, a publisher and a log, without any door.

The proxy, the upkeep commands and worker processes begin here. Another kind of store is chosen in
``make_store``, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from lfsproxy.broker.client import kafka_client
from lfsproxy.broker.no_publisher import NoLog, NoPublisher
from lfsproxy.interfaces import IEnvelopePublisher, ILogReading, IMetrics, IRecordLog, IStore
from lfsproxy.kafka.upstream import Upstream
from lfsproxy.logs import Logger
from lfsproxy.readiness import KnownTrouble
from lfsproxy.s3.credentials import ChainCredentials, CredentialSource
from lfsproxy.s3.objects import NewObjects, encryption
from lfsproxy.s3.proxies import ignored_proxy
from lfsproxy.s3.signing import S3Location
from lfsproxy.s3.store import S3Store
from lfsproxy.settings import Settings, s3_authorities
from lfsproxy.settings.authorities import S3_CA

if TYPE_CHECKING:
    from lfsproxy.net.tls import ClientTls

_log = Logger()

Closer = Callable[[], Coroutine[Any, Any, None]]
"""Ends something, and is called once."""


@attrs.frozen
class Backends:
    """What lies behind the doors. ``closers`` end it, in their order, when nothing uses it any more.

    ``reading`` is None where the proxy may not ask Kafka anything by itself.
    """

    store: IStore
    publisher: IEnvelopePublisher
    log: IRecordLog
    closers: Sequence[Closer] = ()
    reading: ILogReading | None = None

    async def close(self) -> None:
        """End everything. The first error is raised when all was tried."""
        errors: list[Exception] = []
        for close in self.closers:
            try:
                await close()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


def make_backends(
    reactor: Any,
    settings: Settings,
    environment: Mapping[str, str],
    metrics: IMetrics,
    trouble: KnownTrouble | None = None,
    upstream: Upstream | None = None,
) -> Backends:
    """The backends that the settings describe. Nothing is asked of S3 or Kafka yet.

    ``environment`` is looked at for AWS_CA_BUNDLE and for HTTP proxies; ``trouble`` is where what is known to
    be wrong with Kafka is kept; ``upstream`` has what is known of brokers, such as a refused sign-in. Raises
    SettingError.
    """
    store = make_store(reactor, settings, environment, metrics)
    if not settings.has_identity:
        return Backends(store, NoPublisher(), NoLog(), (store.close,))
    kafka = kafka_client(reactor, settings, upstream, trouble)
    return Backends(store, kafka.publisher, kafka.log, (*kafka.closers, store.close), kafka.reading)


def make_store(
    reactor: Any,
    settings: Settings,
    environment: Mapping[str, str],
    metrics: IMetrics,
    credentials: CredentialSource | None = None,
) -> IStore:
    """The store that the settings describe. ``credentials`` are botocore's chain's unless given.

    Raises SettingError where its certificates cannot be used.
    """
    location = S3Location(
        settings.s3_bucket, settings.s3_region, settings.s3_endpoint or None, settings.s3_path_style
    )
    tls = _s3_tls(settings, environment)
    _warn_of_proxy(location, environment)
    return S3Store(
        reactor,
        location,
        credentials or ChainCredentials(reactor, settings.s3_retry_timeout),
        metrics,
        part_size=settings.s3_part_size,
        concurrency=settings.s3_concurrency,
        retry_timeout=settings.s3_retry_timeout,
        upload_memory=settings.upload_memory,
        checksums=settings.s3_checksum != "none",
        tls=tls,
        objects=NewObjects(
            encryption(settings.s3_sse, settings.s3_sse_kms_key_id, settings.s3_sse_bucket_key),
            settings.s3_storage_class,
            settings.s3_tags,
        ),
    )


def _s3_tls(settings: Settings, environment: Mapping[str, str]) -> ClientTls | None:
    """Which S3 servers are trusted, None for http. A flag may have given LFS_S3_CA. Raises SettingError."""
    if not settings.s3_uses_tls:
        return None
    from lfsproxy.net.tls import ClientTls

    name, path = s3_authorities({**environment, S3_CA: settings.s3_ca})
    tls = ClientTls("LFS_S3", path, ca_setting=name)
    tls.check()
    return tls


def _warn_of_proxy(location: S3Location, environment: Mapping[str, str]) -> None:
    unused = ignored_proxy(location, environment)
    if unused is not None:
        _log.warn(
            "{name} is set, but S3 is asked directly: LFS Proxy uses no HTTP proxy "
            "(NO_PROXY={host} ends this warning)",
            name=unused,
            host=urlsplit(location.url()).hostname,
        )
