"""The one kind of failure this package raises: a plain sentence with the way out, for a person."""

from __future__ import annotations


class DevstackError(Exception):
    """``str(error)`` says what went wrong and what to do. Callers print it and exit with status 2."""
