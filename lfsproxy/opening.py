"""What the log says first of the settings: which are no defaults, and which variables are no settings."""

from __future__ import annotations

from collections.abc import Mapping

from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted_setting
from lfsproxy.settings import LoadedSettings, unknown_variables

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
