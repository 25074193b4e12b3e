"""What the log says first of the settings: which are no defaults, and which variables are no settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted_setting
from lfsproxy.settings import LoadedSettings, unknown_variables, variable

_log = Logger()


def say_settings(loaded: LoadedSettings) -> None:
    """Say each setting that is not a default, and which bucket it is if none was given."""
    for origin, text in loaded.origins.values():
        _log.info("{origin} is {text}", origin=origin, text=quoted_setting(text))
    if "s3_bucket" not in loaded.given:
        _log.info(
            "blobs go to the default bucket, {bucket}; set LFS_S3_BUCKET to use another",
            bucket=quoted_setting(loaded.settings.s3_bucket),
        )
    for why in _without_effect(loaded):
        _log.warn("{why}", why=why)


def _without_effect(loaded: LoadedSettings) -> Iterator[str]:
    """Of the settings for consumers that get blobs: which of them no consumer will notice, and why."""
    settings = loaded.settings
    names = ("hydrate_client_ids", "hydrate_max_size", "hydrate_missing")
    given = [variable(name) for name in names if name in loaded.origins]
    if not settings.hydrate_topics:
        if given:
            yield f"{' and '.join(given)} without LFS_HYDRATE_TOPICS: no consumer gets blobs"
        return
    for name in ("hydrate_topics", "hydrate_client_ids"):
        if "!*" in getattr(settings, name):
            yield f"{variable(name)} leaves out everything by !*: no consumer gets blobs"
    if settings.offload_threshold > settings.hydrate_max_size:
        yield (
            f"LFS_HYDRATE_MAX_SIZE is {settings.hydrate_max_size}, below LFS_OFFLOAD_THRESHOLD, "
            f"{settings.offload_threshold}: consumers get an envelope for each value that is stored for its "
            "size"
        )


def warn_of_unknown(environment: Mapping[str, str]) -> None:
    """Say which variables look like settings and are none."""
    unknown = unknown_variables(environment)
    if unknown:
        _log.warn(
            "set, but no settings, so that they change nothing: {names}",
            names=", ".join(
                f"{name} (is {meant} meant?)" if meant else name for name, meant in unknown.items()
            ),
        )
