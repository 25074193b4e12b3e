"""One table of settings: it makes the environment variables, flags, ``--help`` and the reference page.

A setting ``x_y`` of :class:`Settings` is the variable ``LFS_X_Y`` and the flag ``--x-y``; the flag wins.
Sizes are in bytes, times in seconds. A value that cannot be used raises SettingError with one line that
names the variable, the value and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

import attrs

from lfsproxy.checksums import ALGORITHMS
from lfsproxy.errors import SettingError

MIB = 1024 * 1024
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM", "GSSAPI")
MIN_PART = 5 * MIB
_OWN_SEGMENTS = ("v1", "assets", "docs", "healthz", "openapi.json", "readyz")
MAX_PART = 5 * 1024 * MIB


@attrs.frozen
class Address:
    """``host:port``. An empty host listens on every IPv4 and IPv6 address, or connects to localhost."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read ``host:port``, ``[v6]:port`` or ``:port``. Raises ValueError that says what is allowed."""
    found = re.fullmatch(r"(?:\[(?P<v6>[0-9a-fA-F:.%]+)\]|(?P<host>[^\[\]:/\s]*)):(?P<port>\d{1,5})", text)
    if not found or int(found["port"]) > 65535:
        raise ValueError("host:port, [v6]:port or :port is needed, with a port up to 65535")
    return Address(found["v6"] or found["host"] or "", int(found["port"]))


def _text(text: str) -> str:
    return text


def _bucket(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", text):
        raise ValueError("a bucket name is needed")
    return text


def _namespace(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", text) or text in {".", ".."}:
        raise ValueError("up to 128 letters, digits, '.', '_' and '-' are needed")
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError("a URL such as http://localhost:9000 is needed, or nothing for AWS")
    if parts.port == 0:
        raise ValueError("a port from 1 to 65535 is needed")
    if text and (parts.path not in {"", "/"} or parts.query or parts.username):
        raise ValueError("a URL without a path, query or user name is needed")
    return text.rstrip("/")


def _base_path(text: str) -> str:
    segments = text.strip("/").split("/")
    allowed = all(re.fullmatch(r"[A-Za-z0-9._~-]+", each) and each.strip(".") for each in segments)
    if text.strip("/") and not (text.startswith("/") and allowed):
        raise ValueError(
            "a path such as /lfs is needed: letters, digits, '.', '_', '~' and '-' between slashes"
        )
    if segments[0] in _OWN_SEGMENTS:
        raise ValueError(f"a path is needed that does not begin with the API's own /{segments[0]}")
    return text.rstrip("/")


def _flag(text: str) -> bool:
    value = text.strip().lower()
    if value in {"true", "1", "yes", "on"}:
        return True
    if value in {"false", "0", "no", "off"}:
        return False
    raise ValueError("true or false is needed")


def _whole(low: int, high: int | None = None) -> Callable[[str], int]:
    def parse(text: str) -> int:
        allowed = f"a whole number from {low}" + (f" to {high}" if high is not None else "") + " is needed"
        if not re.fullmatch(r"\d{1,19}", text.strip()):
            raise ValueError(allowed)
        value = int(text)
        if value < low or (high is not None and value > high):
            raise ValueError(allowed)
        return value

    return parse


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text.strip()) or float(text) <= 0:
        raise ValueError("a number of seconds above 0 is needed")
    return float(text)


def _port(text: str) -> int | None:
    return _whole(1, 65535)(text) if text.strip() else None


def _algorithm(text: str) -> str:
    return _one_of(*ALGORITHMS)(text)


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"one of {', '.join(names)} is needed")
        return text

    return parse


def _addresses(text: str) -> tuple[Address, ...]:
    addresses = tuple(parse_address(part.strip()) for part in text.split(",") if part.strip())
    if not addresses:
        raise ValueError("host:port is needed, or several with commas between them")
    return addresses


def _globs(text: str) -> tuple[str, ...]:
    globs = tuple(part.strip() for part in text.split(",") if part.strip())
    if not globs:
        raise ValueError("topic names or globs are needed, with commas between them")
    return globs


def _prefixes(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s,]+", origin):
            raise ValueError("* or origins such as https://app.example.com are needed, with commas between")
    return origins


@attrs.frozen
class SettingInfo:
    """What is said of one setting: its default as text, how to read it, what it does."""

    default: str
    parse: Callable[[str], Any]
    help: str
    secret: bool = False


def _setting(default: str, parse: Callable[[str], Any], help: str, secret: bool = False) -> Any:
    info = SettingInfo(default, parse, help, secret)
    return attrs.field(default=parse(default), metadata={"setting": info}, repr=not secret)


@attrs.frozen(kw_only=True)
class Settings:
    """Every setting with its parsed value; the defaults are those of a process without any variable."""

    s3_bucket: str = _setting("kafscale", _bucket, "Bucket that the blobs go to.")
    s3_region: str = _setting("us-east-1", _text, "Region of the bucket.")
    s3_endpoint: str = _setting("", _url, "URL of an S3-compatible store. Empty: AWS.")
    s3_path_style: bool = _setting("false", _flag, "Put the bucket in the path, not in the host name.")
    s3_ca: str = _setting(
        "",
        _text,
        "PEM file of the authorities that sign S3's certificate. Empty: AWS_CA_BUNDLE, or the system's.",
    )
    kafka_brokers: tuple[Address, ...] = _setting(
        "localhost:9092", _addresses, "Bootstrap addresses of the Kafka cluster, with commas between them."
    )
    http_addr: Address = _setting(":8080", parse_address, "Where the HTTP API listens.")
    metrics_addr: Address = _setting(":9095", parse_address, "Where the Prometheus metrics are served.")
    checksum_algo: str = _setting("sha256", _algorithm, "Checksum of envelopes: sha256, crc32 or md5.")
    max_upload_size: int = _setting("0", _whole(0), "Largest payload in bytes. 0: unlimited.")
    cors_origins: tuple[str, ...] = _setting(
        "*", _origins, "Origins whose pages may call the HTTP API, with commas between them; * is any."
    )

    kafka_addr: Address = _setting(":19092", parse_address, "Where Kafka clients connect first.")
    kafka_advertised_host: str = _setting(
        "", _text, "Host name that clients are told for every broker. Empty: the address they connected to."
    )
    kafka_broker_port_base: int | None = _setting(
        "", _port, "Broker N listens at this port + N. Empty: LFS_KAFKA_ADDR's port + 1."
    )
    kafka_advertised_port_base: int | None = _setting(
        "", _port, "Clients are told this port + N for broker N. Empty: the port it listens at."
    )
    kafka_security_protocol: str = _setting(
        "PLAINTEXT",
        _one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
        "How the brokers are spoken to: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
    )
    kafka_client_identity: str = _setting(
        "relay",
        _one_of("relay", "proxy"),
        "Whose sign-in reaches the broker for a client's connection: relay, the client's own; proxy, ours.",
    )
    kafka_sasl_mechanism: str = _setting(
        "",
        _one_of("", *SASL_MECHANISMS),
        f"The proxy's own sign-in: {', '.join(SASL_MECHANISMS)}. Empty: it has none.",
    )
    kafka_sasl_username: str = _setting("", _text, "User name of the proxy's own sign-in.")
    kafka_sasl_password: str = _setting(
        "", _text, "Password of the proxy's own sign-in, or its token (OAUTHBEARER).", secret=True
    )
    kafka_sasl_password_file: str = _setting(
        "", _text, "File with that password or token, read anew at each sign-in."
    )
    kafka_tls_ca: str = _setting(
        "", _text, "PEM file of the authorities that sign the brokers' certificates. Empty: the system's."
    )
    kafka_tls_cert: str = _setting("", _text, "PEM file of the proxy's own client certificate, with chain.")
    kafka_tls_key: str = _setting("", _text, "PEM file of that certificate's key.")
    kafka_listener_tls_cert: str = _setting(
        "", _text, "PEM file of the certificate, with chain, that Kafka clients see. Empty: no TLS."
    )
    kafka_listener_tls_key: str = _setting("", _text, "PEM file of that certificate's key.")
    kafka_listener_tls_client_ca: str = _setting(
        "", _text, "PEM file of the authorities whose certificates Kafka clients must have. Empty: none."
    )
    http_tls_cert: str = _setting(
        "", _text, "PEM file of the certificate, with chain, that HTTP clients see. Empty: no TLS."
    )
    http_tls_key: str = _setting("", _text, "PEM file of that certificate's key.")
    http_tls_client_ca: str = _setting(
        "", _text, "PEM file of the authorities whose certificates HTTP clients must have. Empty: none."
    )
    metrics_tls: bool = _setting(
        "false", _flag, "Serve the metrics by HTTPS, with the HTTP certificate. No client needs one there."
    )
    http_base_path: str = _setting(
        "", _base_path, "Path that clients see the HTTP API below, such as /lfs, behind a reverse proxy."
    )
    http_max_uploads: int = _setting(
        "1000", _whole(0), "HTTP requests with an upload that run at once; beyond it 503. 0: unlimited."
    )
    http_api_keys_file: str = _setting(
        "", _text, "File of the API keys that the HTTP API asks for (lfsproxy keys). Empty: it asks for none."
    )
    namespace: str = _setting("default", _namespace, "Second part of every object key.")
    offload_threshold: int = _setting(
        "0", _whole(0), "Offload every record value of at least this many bytes, header or not. 0: off."
    )
    topics: tuple[str, ...] = _setting("*", _globs, "Topics to look for LFS records in (globs).")
    max_passthrough_size: int = _setting(
        "16777216", _whole(1024), "Largest record batch in bytes, after rewriting, that is sent to a broker."
    )
    download_prefixes: tuple[str, ...] = _setting(
        "",
        _prefixes,
        "Key prefixes that downloads may follow besides their topic's own, commas between them.",
    )
    upload_memory: int = _setting("134217728", _whole(MIB), "Bytes of memory that all uploads share.")
    s3_part_size: int = _setting(
        "8388608", _whole(MIN_PART, MAX_PART), "Bytes of one part of a multipart upload."
    )
    s3_concurrency: int = _setting("4", _whole(1, 64), "Parts of one upload that are sent at once.")
    s3_retry_timeout: float = _setting(
        "15", _seconds, "Seconds after which trouble with S3 is answered with an error."
    )
    s3_checksum: str = _setting(
        "crc32c",
        _one_of("crc32c", "none"),
        "Checksum S3 verifies each part with; none where it refuses.",
    )
    max_decompressed_size: int = _setting(
        "2147483647", _whole(1024), "Largest compressed record batch in bytes, once decompressed."
    )
    tus_expiry: float = _setting(
        "86400", _seconds, "Seconds without new bytes that a resumable upload lives."
    )
    stall_timeout: float = _setting("30", _seconds, "Seconds without progress after which a client is cut.")
    drain_timeout: float = _setting("30", _seconds, "Seconds that a stop waits for work in flight.")

    def __attrs_post_init__(self) -> None:
        least = 2 * (self.s3_part_size + self.max_passthrough_size)
        if self.upload_memory < least:
            raise SettingError(
                f"LFS_UPLOAD_MEMORY is {self.upload_memory}: at least 2 x (LFS_S3_PART_SIZE + "
                f"LFS_MAX_PASSTHROUGH_SIZE) = {least} is needed"
            )
        self._check_pairs()

    def _check_pairs(self) -> None:
        """Settings that need one another."""
        for name in ("kafka_tls", "kafka_listener_tls", "http_tls"):
            if bool(getattr(self, f"{name}_cert")) != bool(getattr(self, f"{name}_key")):
                raise SettingError(
                    f"{variable(name)}_CERT and {variable(name)}_KEY need one another: set both or none"
                )
        for name in ("kafka_tls_ca", "kafka_tls_cert"):
            if getattr(self, name) and not self.uses_tls:
                raise SettingError(
                    f"{variable(name)} is {getattr(self, name)!r}: it needs "
                    "LFS_KAFKA_SECURITY_PROTOCOL SSL or SASL_SSL"
                )
        if self.kafka_listener_tls_client_ca and not self.kafka_listener_tls_cert:
            raise SettingError("LFS_KAFKA_LISTENER_TLS_CLIENT_CA needs LFS_KAFKA_LISTENER_TLS_CERT and _KEY")
        if self.http_tls_client_ca and not self.http_tls_cert:
            raise SettingError("LFS_HTTP_TLS_CLIENT_CA needs LFS_HTTP_TLS_CERT and _KEY")
        if self.metrics_tls and not self.http_tls_cert:
            raise SettingError("LFS_METRICS_TLS is true: it needs LFS_HTTP_TLS_CERT and _KEY")
        if self.kafka_sasl_password and self.kafka_sasl_password_file:
            raise SettingError(
                "LFS_KAFKA_SASL_PASSWORD and LFS_KAFKA_SASL_PASSWORD_FILE: set only one of them"
            )
        if self.kafka_sasl_mechanism and not self.uses_sasl:
            raise SettingError(
                f"LFS_KAFKA_SASL_MECHANISM is '{self.kafka_sasl_mechanism}': it needs "
                "LFS_KAFKA_SECURITY_PROTOCOL SASL_PLAINTEXT or SASL_SSL"
            )
        if self.uses_sasl and self.kafka_client_identity == "proxy" and not self.kafka_sasl_mechanism:
            raise SettingError("LFS_KAFKA_CLIENT_IDENTITY is 'proxy': it needs LFS_KAFKA_SASL_MECHANISM")
        self._check_mechanism(self.kafka_sasl_mechanism)

    def _check_mechanism(self, mechanism: str) -> None:
        named = mechanism in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
        if named and not self.kafka_sasl_username:
            raise SettingError(f"LFS_KAFKA_SASL_MECHANISM is '{mechanism}': it needs LFS_KAFKA_SASL_USERNAME")
        has_secret = self.kafka_sasl_password or self.kafka_sasl_password_file
        if (named or mechanism == "OAUTHBEARER") and not has_secret:
            raise SettingError(
                f"LFS_KAFKA_SASL_MECHANISM is '{mechanism}': it needs LFS_KAFKA_SASL_PASSWORD or "
                "LFS_KAFKA_SASL_PASSWORD_FILE"
            )
        if mechanism == "AWS_MSK_IAM" and not self.uses_tls:
            raise SettingError(
                "LFS_KAFKA_SASL_MECHANISM is 'AWS_MSK_IAM': it needs LFS_KAFKA_SECURITY_PROTOCOL SASL_SSL"
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
    def has_identity(self) -> bool:
        """Whether the proxy can ask the brokers anything by itself."""
        return not self.uses_sasl or bool(self.kafka_sasl_mechanism)

    def sasl_credentials(self) -> tuple[str, str, str]:
        """Mechanism, user name and password or token of the proxy's own sign-in; a file is read now.

        Raises SettingError where the file cannot be read.
        """
        secret = self.kafka_sasl_password
        path = self.kafka_sasl_password_file
        if path:
            try:
                with open(path, encoding="utf-8") as file:
                    secret = file.read().rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                raise SettingError(
                    f"LFS_KAFKA_SASL_PASSWORD_FILE is {path!r}: it cannot be read ({why})"
                ) from None
        return self.kafka_sasl_mechanism, self.kafka_sasl_username, secret

    @property
    def broker_port_base(self) -> int:
        """The port of broker 0; broker N is N above it."""
        if self.kafka_broker_port_base is not None:
            return self.kafka_broker_port_base
        return self.kafka_addr.port + 1


def setting_table() -> dict[str, SettingInfo]:
    """Name (``s3_bucket``) to what is said of it, in the order of Settings."""
    return {field.name: field.metadata["setting"] for field in attrs.fields(Settings)}


def variable(name: str) -> str:
    """``s3_bucket`` to ``LFS_S3_BUCKET``."""
    return "LFS_" + name.upper()


def flag(name: str) -> str:
    """``s3_bucket`` to ``s3-bucket`` (without the dashes before it)."""
    return name.replace("_", "-")


@attrs.frozen
class LoadedSettings:
    """Settings and, by name of each that is not a default, (where it came from, its text or ***)."""

    settings: Settings
    origins: Mapping[str, tuple[str, str]]


def load_settings(environment: Mapping[str, str], flags: Mapping[str, str | None]) -> LoadedSettings:
    """Read settings from flags (by name, None where not given) and the environment. Raises SettingError.

    An empty value counts as not given.
    """
    values: dict[str, Any] = {}
    origins: dict[str, tuple[str, str]] = {}
    for name, info in setting_table().items():
        given = flags.get(name)
        origin = f"{variable(name)} (flag --{flag(name)})"
        if given is None:
            given = environment.get(variable(name))
            origin = variable(name)
        if given is None or (given == "" and info.default != ""):
            continue
        shown = "***" if info.secret else given
        try:
            values[name] = info.parse(given)
        except ValueError as error:
            raise SettingError(f"{origin} is {_without_password(shown)!r}: {error}") from None
        if given != info.default:
            origins[name] = (origin, shown)
    return LoadedSettings(Settings(**values), origins)


def _without_password(text: str) -> str:
    """Hide what stands before the host of a URL, which a refused value may have by mistake."""
    return re.sub(r"//[^/@]*@", "//***@", text)


def misspelt_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that are no setting but look much like one, each with the setting probably meant."""
    known = [variable(name) for name in setting_table()]
    strange = sorted(name for name in environment if name.startswith("LFS_") and name not in known)
    close = {name: get_close_matches(name, known, 1, cutoff=0.8) for name in strange}
    return {name: meant[0] for name, meant in close.items() if meant}
