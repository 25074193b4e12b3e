"""Which settings need one another, and which exclude one another."""

from __future__ import annotations

from lfsproxy.errors import SettingError
from lfsproxy.quoting import quoted_setting
from lfsproxy.settings.names import variable
from lfsproxy.settings.table import Values
from lfsproxy.settings.tags import MAX_VALUE, longest

_ANYWHERE = frozenset({"", "0.0.0.0", "::"})
_HERE = frozenset({"", "localhost", "127.0.0.1"})


def check_rules(settings: Values) -> None:
    """Raise SettingError, one line, where settings do not fit together."""
    least = 2 * (settings.s3_part_size + settings.max_passthrough_size)
    if settings.upload_memory < least:
        raise SettingError(
            f"LFS_UPLOAD_MEMORY is {settings.upload_memory}: at least 2 x (LFS_S3_PART_SIZE + "
            f"LFS_MAX_PASSTHROUGH_SIZE) = {least} is needed"
        )
    if settings.upload_memory // settings.workers < least:
        raise SettingError(
            f"LFS_UPLOAD_MEMORY is {settings.upload_memory}: LFS_WORKERS is {settings.workers}, and each "
            f"worker needs 2 x (LFS_S3_PART_SIZE + LFS_MAX_PASSTHROUGH_SIZE) = {least} of it: at least "
            f"{least * settings.workers} is needed"
        )
    _check_pairs(settings)
    _check_objects(settings)


def check_no_loop(settings: Values) -> None:
    """Raise SettingError where a broker's address is that at which the proxy itself listens.

    Of a proxy alone: a command that listens nowhere may run where a broker has that address.
    """
    own = settings.kafka_addr
    for address in settings.kafka_brokers:
        is_here = address.host == own.host or (own.host in _ANYWHERE and address.host in _HERE)
        if own.port and address.port == own.port and is_here:
            raise SettingError(
                f"LFS_KAFKA_BROKERS is {quoted_setting(str(address))}: the proxy itself listens there "
                "(LFS_KAFKA_ADDR), and would connect to itself; name the brokers"
            )


def _check_objects(settings: Values) -> None:
    """What new objects are made with."""
    if settings.s3_sse_kms_key_id and not settings.s3_sse.startswith("aws:kms"):
        raise SettingError(
            f"LFS_S3_SSE_KMS_KEY_ID is {quoted_setting(settings.s3_sse_kms_key_id)}: it needs LFS_S3_SSE "
            "aws:kms or aws:kms:dsse"
        )
    if settings.s3_sse_bucket_key and settings.s3_sse != "aws:kms":
        raise SettingError("LFS_S3_SSE_BUCKET_KEY is true: it needs LFS_S3_SSE aws:kms")
    for name, value in settings.s3_tags:
        if (most := longest(value, settings.namespace)) > MAX_VALUE:
            raise SettingError(
                f"LFS_S3_TAGS: with the longest topic's name, the value of {name} has {most} characters: "
                f"S3 takes {MAX_VALUE}"
            )


def _check_pairs(settings: Values) -> None:
    """Settings that need one another."""
    for name in ("kafka_tls", "kafka_listener_tls", "http_tls"):
        if bool(getattr(settings, f"{name}_cert")) != bool(getattr(settings, f"{name}_key")):
            raise SettingError(
                f"{variable(name)}_CERT and {variable(name)}_KEY need one another: set both or none"
            )
    for name in ("kafka_tls_ca", "kafka_tls_cert"):
        if getattr(settings, name) and not settings.uses_tls:
            raise SettingError(
                f"{variable(name)} is {quoted_setting(getattr(settings, name))}: it needs "
                "LFS_KAFKA_SECURITY_PROTOCOL SSL or SASL_SSL"
            )
    if settings.kafka_listener_tls_client_ca and not settings.kafka_listener_tls_cert:
        raise SettingError("LFS_KAFKA_LISTENER_TLS_CLIENT_CA needs LFS_KAFKA_LISTENER_TLS_CERT and _KEY")
    if settings.http_tls_client_ca and not settings.http_tls_cert:
        raise SettingError("LFS_HTTP_TLS_CLIENT_CA needs LFS_HTTP_TLS_CERT and _KEY")
    if settings.metrics_tls and not settings.http_tls_cert:
        raise SettingError("LFS_METRICS_TLS is true: it needs LFS_HTTP_TLS_CERT and _KEY")
    if settings.kafka_sasl_password and settings.kafka_sasl_password_file:
        raise SettingError("LFS_KAFKA_SASL_PASSWORD and LFS_KAFKA_SASL_PASSWORD_FILE: set only one of them")
    if settings.kafka_sasl_mechanism and not settings.uses_sasl:
        raise SettingError(
            f"LFS_KAFKA_SASL_MECHANISM is '{settings.kafka_sasl_mechanism}': it needs "
            "LFS_KAFKA_SECURITY_PROTOCOL SASL_PLAINTEXT or SASL_SSL"
        )
    if settings.uses_sasl and settings.kafka_client_identity == "proxy" and not settings.kafka_sasl_mechanism:
        raise SettingError("LFS_KAFKA_CLIENT_IDENTITY is 'proxy': it needs LFS_KAFKA_SASL_MECHANISM")
    _check_mechanism(settings, settings.kafka_sasl_mechanism)
    _check_oauth(settings)


def _check_mechanism(settings: Values, mechanism: str) -> None:
    named = mechanism in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
    if named and not settings.kafka_sasl_username:
        raise SettingError(f"LFS_KAFKA_SASL_MECHANISM is '{mechanism}': it needs LFS_KAFKA_SASL_USERNAME")
    has_secret = settings.kafka_sasl_password or settings.kafka_sasl_password_file
    is_bearer = mechanism == "OAUTHBEARER"
    if (named or (is_bearer and not settings.kafka_oauth_token_url)) and not has_secret:
        raise SettingError(
            f"LFS_KAFKA_SASL_MECHANISM is '{mechanism}': it needs LFS_KAFKA_SASL_PASSWORD or "
            f"LFS_KAFKA_SASL_PASSWORD_FILE{', or LFS_KAFKA_OAUTH_TOKEN_URL' if is_bearer else ''}"
        )
    if mechanism == "AWS_MSK_IAM" and not settings.uses_tls:
        raise SettingError(
            "LFS_KAFKA_SASL_MECHANISM is 'AWS_MSK_IAM': it needs LFS_KAFKA_SECURITY_PROTOCOL SASL_SSL"
        )


def _check_oauth(settings: Values) -> None:
    """A token that is fetched, and what goes with it."""
    for name in ("token_url", "extensions"):
        if getattr(settings, f"kafka_oauth_{name}") and settings.kafka_sasl_mechanism != "OAUTHBEARER":
            raise SettingError(
                f"{variable(f'kafka_oauth_{name}')} needs LFS_KAFKA_SASL_MECHANISM OAUTHBEARER"
            )
    if not settings.kafka_oauth_token_url:
        for name in ("client_id", "client_secret", "client_secret_file", "scope", "ca"):
            if getattr(settings, f"kafka_oauth_{name}"):
                raise SettingError(f"{variable(f'kafka_oauth_{name}')} needs LFS_KAFKA_OAUTH_TOKEN_URL")
        return
    if settings.kafka_sasl_password or settings.kafka_sasl_password_file:
        raise SettingError(
            "LFS_KAFKA_OAUTH_TOKEN_URL and LFS_KAFKA_SASL_PASSWORD or _PASSWORD_FILE: a token is fetched or "
            "given, so set only one of them"
        )
    if not settings.kafka_oauth_client_id:
        raise SettingError("LFS_KAFKA_OAUTH_TOKEN_URL needs LFS_KAFKA_OAUTH_CLIENT_ID")
    if bool(settings.kafka_oauth_client_secret) == bool(settings.kafka_oauth_client_secret_file):
        raise SettingError(
            "LFS_KAFKA_OAUTH_TOKEN_URL needs LFS_KAFKA_OAUTH_CLIENT_SECRET or _CLIENT_SECRET_FILE: set one "
            "of them"
        )
    if settings.kafka_oauth_ca and not settings.oauth_uses_tls:
        raise SettingError("LFS_KAFKA_OAUTH_CA needs an https URL in LFS_KAFKA_OAUTH_TOKEN_URL")
