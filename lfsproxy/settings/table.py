"""The table of settings: each one's default, kind of value and help, and what they mean together."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import attrs

from lfsproxy.checksums import ALGORITHMS
from lfsproxy.defaults import DEFAULT_BUCKET, DEFAULT_REGION
from lfsproxy.errors import SettingError
from lfsproxy.quoting import quoted_setting
from lfsproxy.settings import hosts, kinds
from lfsproxy.settings.cores import WORKERS
from lfsproxy.settings.hosts import Address
from lfsproxy.settings.kinds import Kind, one_of, whole
from lfsproxy.settings.names import variable
from lfsproxy.settings.quantities import MIB, size, time
from lfsproxy.settings.tags import TAGS, Tags

SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM", "GSSAPI")
SSE = ("AES256", "aws:kms", "aws:kms:dsse")
"""How S3 encrypts: x-amz-server-side-encryption in the Amazon S3 API reference."""
MIN_PART = 5 * MIB
MAX_PART = 5 * 1024 * MIB
"""Bytes of a part that is not the last ("Amazon S3 multipart upload limits")."""


@attrs.frozen
class SettingInfo:
    """What is said of one setting: its default as text, what is allowed and how to read it, what it does."""

    default: str
    parse: Kind
    help: str
    secret: bool = False


def _either(*names: str) -> str:
    """``a, b or c``."""
    *first, last = names
    return f"{', '.join(first)} or {last}"


def _setting(default: str, parse: Kind, help: str, secret: bool = False) -> Any:
    info = SettingInfo(default, parse, help, secret)
    return attrs.field(default=parse(default), metadata={"setting": info}, repr=not secret)


@attrs.frozen(kw_only=True)
class Values:
    """Every setting with its parsed value. What they may be together is checked by Settings."""

    s3_bucket: str = _setting(DEFAULT_BUCKET, kinds.BUCKET, "Bucket that the blobs go to.")
    s3_region: str = _setting(DEFAULT_REGION, kinds.REGION, "Region of the bucket.")
    s3_endpoint: str = _setting("", hosts.URL, "URL of an S3-compatible store. Empty: AWS.")
    s3_path_style: bool = _setting("false", kinds.FLAG, "Put the bucket in the path, not in the host name.")
    s3_ca: str = _setting(
        "",
        kinds.FILE,
        "PEM file of the authorities that sign S3's certificate. Empty: AWS_CA_BUNDLE, or the system's.",
    )
    kafka_brokers: tuple[Address, ...] = _setting(
        "localhost:9092",
        hosts.BROKERS,
        "Bootstrap addresses of the Kafka cluster, with commas between them.",
    )
    http_addr: Address = _setting(":8080", hosts.ADDRESS, "Where the HTTP API listens.")
    metrics_addr: Address = _setting(":9095", hosts.ADDRESS, "Where the Prometheus metrics are served.")
    checksum_algo: str = _setting(
        "sha256", one_of(*ALGORITHMS), f"Checksum of envelopes: {_either(*ALGORITHMS)}."
    )
    max_upload_size: int = _setting("0", size(0), "Largest payload in bytes. 0: unlimited.")
    cors_origins: tuple[str, ...] = _setting(
        "*", hosts.ORIGINS, "Origins whose pages may call the HTTP API, with commas between them; * is any."
    )

    kafka_addr: Address = _setting(":19092", hosts.ADDRESS, "Where Kafka clients connect first.")
    kafka_advertised_host: str = _setting(
        "",
        hosts.ADVERTISED_HOST,
        "Host name that clients are told for every broker. Empty: the address they connected to.",
    )
    kafka_broker_port_base: int | None = _setting(
        "", hosts.PORT, "Broker N listens at this port + N. Empty: LFS_KAFKA_ADDR's port + 1."
    )
    kafka_advertised_port_base: int | None = _setting(
        "", hosts.PORT, "Clients are told this port + N for broker N. Empty: the port it listens at."
    )
    kafka_security_protocol: str = _setting(
        "PLAINTEXT",
        one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
        "How the brokers are spoken to: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
    )
    kafka_client_identity: str = _setting(
        "relay",
        one_of("relay", "proxy"),
        "Whose sign-in reaches the broker for a client's connection: relay, the client's own; proxy, ours.",
    )
    kafka_sasl_mechanism: str = _setting(
        "",
        one_of("", *SASL_MECHANISMS),
        f"The proxy's own sign-in: {', '.join(SASL_MECHANISMS)}. Empty: it has none.",
    )
    kafka_sasl_username: str = _setting("", kinds.TEXT, "User name of the proxy's own sign-in.")
    kafka_sasl_password: str = _setting(
        "", kinds.SECRET, "Password of the proxy's own sign-in, or its token (OAUTHBEARER).", secret=True
    )
    kafka_sasl_password_file: str = _setting(
        "", kinds.FILE, "File with that password or token, read anew at each sign-in."
    )
    kafka_oauth_token_url: str = _setting(
        "",
        hosts.TOKEN_URL,
        "URL that OAUTHBEARER's token is fetched from, by client credentials. Empty: the token is given.",
    )
    kafka_oauth_client_id: str = _setting("", kinds.TEXT, "The proxy's client id at that token server.")
    kafka_oauth_client_secret: str = _setting("", kinds.SECRET, "That client's secret.", secret=True)
    kafka_oauth_client_secret_file: str = _setting(
        "", kinds.FILE, "File with that secret, read anew whenever a token is fetched."
    )
    kafka_oauth_scope: str = _setting(
        "", kinds.TEXT, "Scope that is asked for, or several with a space between them. Empty: none."
    )
    kafka_oauth_ca: str = _setting(
        "",
        kinds.FILE,
        "PEM file of the authorities that sign the token server's certificate. Empty: the system's.",
    )
    kafka_oauth_extensions: tuple[str, ...] = _setting(
        "",
        kinds.EXTENSIONS,
        "SASL extensions that go to the brokers with the token, name=value, commas between them.",
    )
    kafka_tls_ca: str = _setting(
        "",
        kinds.FILE,
        "PEM file of the authorities that sign the brokers' certificates. Empty: the system's.",
    )
    kafka_tls_cert: str = _setting(
        "", kinds.FILE, "PEM file of the proxy's own client certificate, with chain."
    )
    kafka_tls_key: str = _setting("", kinds.FILE, "PEM file of that certificate's key.")
    kafka_listener_tls_cert: str = _setting(
        "", kinds.FILE, "PEM file of the certificate, with chain, that Kafka clients see. Empty: no TLS."
    )
    kafka_listener_tls_key: str = _setting("", kinds.FILE, "PEM file of that certificate's key.")
    kafka_listener_tls_client_ca: str = _setting(
        "", kinds.FILE, "PEM file of the authorities whose certificates Kafka clients must have. Empty: none."
    )
    http_tls_cert: str = _setting(
        "", kinds.FILE, "PEM file of the certificate, with chain, that HTTP clients see. Empty: no TLS."
    )
    http_tls_key: str = _setting("", kinds.FILE, "PEM file of that certificate's key.")
    http_tls_client_ca: str = _setting(
        "", kinds.FILE, "PEM file of the authorities whose certificates HTTP clients must have. Empty: none."
    )
    metrics_tls: bool = _setting(
        "false",
        kinds.FLAG,
        "Serve the metrics by HTTPS, with the HTTP certificate. No client needs one there.",
    )
    http_base_path: str = _setting(
        "", kinds.BASE_PATH, "Path that clients see the HTTP API below, such as /lfs, behind a reverse proxy."
    )
    kafka_max_connection_age: float = _setting(
        "0",
        time(zero=True),
        "Seconds, within 10 %, after which a Kafka connection is closed between requests. 0: no limit.",
    )
    kafka_max_idle: float = _setting(
        "600",
        time(zero=True),
        "Seconds in which a Kafka client asks and is owed nothing, after which it is closed. 0: never.",
    )
    kafka_max_connections: int = _setting(
        "0",
        whole(0),
        "Connections of Kafka clients at once. 0: as many as file descriptors allow.",
    )
    kafka_max_connections_per_ip: int = _setting(
        "0",
        whole(0),
        "Connections of Kafka clients at once from one address, as they reach the proxy. 0: unlimited.",
    )
    http_max_connections: int = _setting(
        "0",
        whole(0),
        "Connections of HTTP clients at once. 0: as many as file descriptors allow.",
    )
    http_max_connections_per_ip: int = _setting(
        "0",
        whole(0),
        "Connections of HTTP clients at once from one address, as they reach the proxy. 0: unlimited.",
    )
    http_keep_alive: float = _setting(
        "75",
        time(),
        "Seconds that an idle HTTP connection is kept: longer than a load balancer in front keeps its own.",
    )
    http_max_connection_age: float = _setting(
        "0",
        time(zero=True),
        "Seconds, within 10 %, after which an HTTP connection is closed between requests. 0: no limit.",
    )
    http_max_uploads: int = _setting(
        "1000", whole(0), "HTTP requests with an upload that run at once; beyond it 503. 0: unlimited."
    )
    http_max_downloads: int = _setting(
        "1000", whole(0), "HTTP requests for a record that run at once; beyond it 503. 0: unlimited."
    )
    http_max_header_size: int = _setting(
        "32768",
        size(4096, MIB),
        "Bytes of an HTTP request's line (beyond it 414), and of its line and headers together (431).",
    )
    http_api_keys_file: str = _setting(
        "",
        kinds.FILE,
        "File of the API keys that the HTTP API asks for (lfsproxy keys). Empty: it asks for none.",
    )
    namespace: str = _setting("default", kinds.NAMESPACE, "Second part of every object key.")
    offload_threshold: int = _setting(
        "0", size(0), "Offload every record value of at least this many bytes, header or not. 0: off."
    )
    topics: tuple[str, ...] = _setting("*", kinds.TOPICS, "Topics to look for LFS records in (globs).")
    max_passthrough_size: int = _setting(
        "16777216",
        size(1024),
        "Largest record batch in bytes, after rewriting, that is sent to a broker.",
    )
    download_prefixes: tuple[str, ...] = _setting(
        "",
        kinds.PREFIXES,
        "Key prefixes that downloads may follow besides their topic's own, commas between them.",
    )
    hydrate_topics: tuple[str, ...] = _setting(
        "",
        kinds.HYDRATED_TOPICS,
        "Topics (globs) whose envelopes Kafka consumers get as the blobs themselves. Empty: none.",
    )
    hydrate_client_ids: tuple[str, ...] = _setting(
        "*", kinds.CLIENT_IDS, "Which consumers get blobs, by client.id (globs; a leading ! leaves out)."
    )
    hydrate_max_size: int = _setting(
        "52428800",
        size(1),
        "Largest blob in bytes that a Kafka consumer gets; a larger one stays an envelope.",
    )
    hydrate_missing: str = _setting(
        "error",
        one_of("error", "envelope"),
        "What a consumer gets for a blob that is gone: error, CORRUPT_MESSAGE; envelope, the envelope.",
    )
    upload_memory: int = _setting("134217728", size(MIB), "Bytes of memory that all uploads share.")
    s3_part_size: int = _setting(
        "8388608", size(MIN_PART, MAX_PART), "Bytes of one part of a multipart upload."
    )
    s3_concurrency: int = _setting("4", whole(1, 64), "Parts of one upload that are sent at once.")
    s3_retry_timeout: float = _setting(
        "15", time(), "Seconds after which trouble with S3 is answered with an error."
    )
    s3_checksum: str = _setting(
        "crc32c",
        one_of("crc32c", "none"),
        "Checksum S3 verifies each part with; none where it refuses.",
    )
    s3_sse: str = _setting(
        "",
        one_of("", *SSE),
        f"How S3 encrypts new objects: {_either(*SSE)}. Empty: as the bucket is set.",
    )
    s3_sse_kms_key_id: str = _setting(
        "",
        kinds.KMS_KEY,
        "Key of the KMS for LFS_S3_SSE aws:kms and aws:kms:dsse. Empty: the store's own choice.",
    )
    s3_sse_bucket_key: bool = _setting(
        "false",
        kinds.FLAG,
        "Have S3 ask the KMS once for many objects (aws:kms only). false: as the bucket is set.",
    )
    s3_storage_class: str = _setting(
        "", kinds.STORAGE_CLASS, "Storage class of new blobs. Empty: the store's default."
    )
    s3_tags: Tags = _setting(
        "",
        TAGS,
        "Tags of new blobs, with commas between them; a value may have {topic} and {namespace} in it. "
        "Empty: none.",
    )
    max_decompressed_size: int = _setting(
        "2147483647", size(1024), "Largest compressed record batch in bytes, once decompressed."
    )
    lookup_max_decompressed_size: int = _setting(
        "268435456",
        size(1024),
        "Largest compressed record batch in bytes, once decompressed, that a download by offset looks into.",
    )
    max_lookups: int = _setting(
        "2", whole(1, 64), "Record batches that are read from brokers at once, for downloads and tus."
    )
    tus_expiry: float = _setting("86400", time(), "Seconds without new bytes that a resumable upload lives.")
    stall_timeout: float = _setting("30", time(), "Seconds without progress after which a client is cut.")
    drain_timeout: float = _setting("30", time(), "Seconds that a stop waits for work in flight.")
    drain_delay: float = _setting(
        "0",
        time(zero=True),
        "Seconds that a stop leaves the ports open while /readyz is red, for load balancers to notice.",
    )
    log_level: str = _setting(
        "info",
        one_of("debug", "info", "warn", "error", ignore_case=True),
        "Least level that is logged: debug, info, warn or error.",
    )
    log_format: str = _setting(
        "text", one_of("text", "json"), "How the log is written: text, or json, one object on each line."
    )

    workers: int = _setting(
        "1",
        WORKERS,
        "Processes that serve all ports together, each on a core of its own; auto: one for each core.",
    )

    @property
    def uses_sasl(self) -> bool:
        """Whether the brokers demand a sign-in."""
        return self.kafka_security_protocol.startswith("SASL_")

    @property
    def uses_tls(self) -> bool:
        """Whether the brokers are spoken to over TLS."""
        return self.kafka_security_protocol.endswith("SSL")

    @property
    def s3_uses_tls(self) -> bool:
        """Whether S3 is spoken to over TLS. A file of authorities is looked at even where it is of no use."""
        return urlsplit(self.s3_endpoint).scheme != "http" or bool(self.s3_ca)

    @property
    def oauth_uses_tls(self) -> bool:
        """Whether the token server is spoken to over TLS."""
        return urlsplit(self.kafka_oauth_token_url).scheme == "https"

    @property
    def needs_tls(self) -> bool:
        """Whether anything is spoken over TLS."""
        served = self.http_tls_cert or self.kafka_listener_tls_cert
        return bool(served) or self.uses_tls or self.s3_uses_tls or self.oauth_uses_tls

    @property
    def has_identity(self) -> bool:
        """Whether the proxy can ask the brokers anything by itself."""
        return not self.uses_sasl or bool(self.kafka_sasl_mechanism)

    def sasl_credentials(self) -> tuple[str, str, str]:
        """Mechanism, user name and password or token of the proxy's own sign-in; a file is read now.

        Raises SettingError where the file cannot be read. No token where it is fetched (``oauth_secret``).
        """
        secret = self._secret("kafka_sasl_password")
        return self.kafka_sasl_mechanism, self.kafka_sasl_username, secret

    def oauth_secret(self) -> str:
        """The client's secret at the token server; a file is read now. Raises SettingError."""
        return self._secret("kafka_oauth_client_secret")

    def _secret(self, name: str) -> str:
        """The secret of a setting, or of the file that its companion names."""
        path: str = getattr(self, f"{name}_file")
        if not path:
            return str(getattr(self, name))
        try:
            with open(path, encoding="utf-8") as file:
                return file.read().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingError(
                f"{variable(name)}_FILE is {quoted_setting(path)}: it cannot be read ({why})",
                settings=[f"{variable(name)}_FILE"],
            ) from None

    @property
    def broker_port_base(self) -> int:
        """The port of broker 0; broker N is N above it."""
        if self.kafka_broker_port_base is not None:
            return self.kafka_broker_port_base
        return self.kafka_addr.port + 1


def setting_table() -> dict[str, SettingInfo]:
    """Name (``s3_bucket``) to what is said of it, in the order of Values."""
    return {field.name: field.metadata["setting"] for field in attrs.fields(Values)}
