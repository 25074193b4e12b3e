"""Counts the bytes that leave from other memory than they were read into: those were copied on their way."""

# trial is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase


class Ledger:
    """What was read, by the objects that the reads gave, and what left of it."""

    def __init__(self) -> None:
        self.read = 0
        self.left = 0
        self.copied = 0
        # They are kept: the address of one that is gone could be another's.
        self._known: dict[int, object] = {}

    def came(self, data: bytes) -> None:
        """A read of a socket gave ``data``."""
        self.read += len(data)
        self._known[id(data)] = data

    def leaves(self, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
        """These go on, to a socket or into another part of the proxy."""
        for piece in pieces:
            self.left += len(piece)
            memory = piece.obj if isinstance(piece, memoryview) else piece
            if id(memory) not in self._known:
                self.copied += len(piece)

    @property
    def share(self) -> float:
        """Bytes that were copied, at least once, of each byte that left."""
        return self.copied / self.left

    def watch_reads(self, test: SynchronousTestCase | TestCase, protocol: Any) -> None:
        """Note what this class of protocols is given by its transport."""
        received: Callable[[Any, bytes], None] = protocol.dataReceived

        def note(self_: Any, data: bytes) -> None:
            self.came(data)
            received(self_, data)

        test.patch(protocol, "dataReceived", note)

    def watch_writes(self, test: SynchronousTestCase | TestCase, module: Any) -> None:
        """Note what a module writes by ``write_through``."""
        write: Callable[[Any, Sequence[Any]], None] = module.write_through

        def note(transport: Any, pieces: Sequence[Any]) -> None:
            self.leaves(pieces)
            write(transport, pieces)

        test.patch(module, "write_through", note)

    def watch_upload(self, test: SynchronousTestCase | TestCase, store: Any) -> None:
        """Note what the uploads of this store are given."""
        begin = store.begin

        def begun(*arguments: Any) -> Any:
            upload = begin(*arguments)
            write = upload.write

            def note(data: Any) -> Any:
                self.leaves([data])
                return write(data)

            upload.write = note
            return upload

        test.patch(store, "begin", begun)
