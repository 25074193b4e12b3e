"""botocore's chain of credentials: environment, profile, web identity, container and instance metadata.

Everything here blocks: it reads files and asks servers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from botocore.credentials import Credentials, EnvProvider
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    MetadataRetrievalError,
)

from lfsproxy.errors import LfsError, StoreRefused, StoreUnavailable
from lfsproxy.words import error_text

FROM_ENVIRONMENT = "env"
"""``method`` of credentials that were variables of this process: they stay as long as it does."""

_TRANSIENT = (CredentialRetrievalError, HTTPClientError, MetadataRetrievalError)
_TRANSIENT_CODES = frozenset(
    {"IDPCommunicationError", "RequestLimitExceeded", "Throttling", "ThrottlingException"}
)

Stamp = Sequence[tuple[int, int, int] | None]
"""What tells that files have changed: time of the last change, size and inode of each, None for no file."""


def chain_credentials(environment: Mapping[str, str] = os.environ) -> Credentials | None:
    """What the chain finds, in the ``environment`` first."""
    if found := EnvProvider(environment).load():
        return found
    # All of botocore's clients, which the first link of the chain does without.
    from botocore.session import Session

    return Session().get_credentials()


def files_stamp() -> Stamp:
    """Of the files that profiles are in."""
    return [
        # A user of systemd's may have no home at all, and then Path's own expanduser raises.
        _stamp(Path(os.path.expanduser(os.environ.get(name) or default)))
        for name, default in (
            ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
            ("AWS_CONFIG_FILE", "~/.aws/config"),
        )
    ]


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def no_credentials() -> StoreRefused:
    """The chain has found none."""
    way_out = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, web identity or instance role"
    return StoreRefused(f"no S3 credentials were found: {way_out}", way_out=way_out)


def chain_error(error: Exception) -> LfsError:
    """What it means that the chain raised this: StoreUnavailable where it may pass."""
    said = f"S3 credentials cannot be had: {error_text(error)}"
    if isinstance(error, _TRANSIENT) or (isinstance(error, ClientError) and _may_pass(error)):
        return StoreUnavailable(said)
    return StoreRefused(said) if isinstance(error, (BotoCoreError, ClientError)) else StoreUnavailable(said)


def _may_pass(error: ClientError) -> bool:
    """Whether the server that gives credentials was in trouble itself."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or error.response.get("Error", {}).get("Code") in _TRANSIENT_CODES
