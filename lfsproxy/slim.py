"""What the proxy's process does without: parts of its libraries that its settings do not need.

kafka-python and werkzeug load all of themselves as soon as any of them is imported, and Twisted loads OpenSSL
with its reactor. ``slim_imports`` is around the first import of any of these, so in the process of the proxy
only: commands, tests and programs of users have whole libraries.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, Final, cast

BARE: Final = ("kafka", "kafka.net", "werkzeug")
"""Packages whose modules are imported without what the packages import themselves, parents first."""
TLS: Final = "OpenSSL"
"""What TLS is made of. Twisted does without TLS where this cannot be imported."""


class BarePackage(ModuleType):
    """A package that has not run yet. It does when it is asked for something that is no module of its own."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            module = f"{self.__name__}.{name}"
            try:
                return import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:
                    raise
        cast(Any, self).__class__ = ModuleType
        spec = self.__spec__
        assert spec is not None and spec.loader is not None  # as module_from_spec has made it
        spec.loader.exec_module(self)
        return getattr(self, name)


@contextmanager
def slim_imports(*, tls: bool) -> Iterator[None]:
    """Within it, only what the proxy needs of its libraries is loaded. ``tls``: whether that is needed."""
    for name in BARE:
        if name not in sys.modules and (spec := find_spec(name)) is not None:
            bare = module_from_spec(spec)
            bare.__class__ = BarePackage
            sys.modules[name] = bare
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, bare)
            # As kafka does itself when it runs: what it logs does not go to stderr.
            logging.getLogger(name).addHandler(logging.NullHandler())
    without = not tls and TLS not in sys.modules
    if without:
        # Its import fails now, as it does where it is not installed.
        cast(Any, sys.modules)[TLS] = None
    try:
        yield
    finally:
        if without:
            del sys.modules[TLS]
