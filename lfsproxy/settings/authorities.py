"""The file of authorities by which S3 is trusted, for the proxy, readers and commands alike."""

from __future__ import annotations

from collections.abc import Mapping

from lfsproxy.settings.names import variable

S3_CA = variable("s3_ca")
S3_VARIABLES = (S3_CA, "AWS_CA_BUNDLE")
"""The variables that may name it; the first one that is set counts."""


def s3_authorities(environment: Mapping[str, str]) -> tuple[str, str]:
    """The variable that counts, and the file that it names: empty is the system's own."""
    return next(((name, environment[name]) for name in S3_VARIABLES if environment.get(name)), (S3_CA, ""))
