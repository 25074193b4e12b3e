"""Defaults that the readers of blobs share with the proxy: where the blobs are if nobody says it."""

from __future__ import annotations

from typing import Final

DEFAULT_BUCKET: Final = "kafscale"
DEFAULT_REGION: Final = "us-east-1"
"""AWS's own first region, which S3-compatible stores take, too."""
