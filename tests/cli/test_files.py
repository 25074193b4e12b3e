"""Payloads that are read and files that are written."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from contextlib import redirect_stderr
from pathlib import Path
from typing import BinaryIO

import click
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cli.download import _name
from lfsproxy.cli.failures import failure
from lfsproxy.cli.payload import expected_checksum, open_payload
from lfsproxy.cli.screen import transfer
from lfsproxy.cli.target import write_file
from lfsproxy.client.upload import length_of
from lfsproxy.errors import InvalidChecksum


class PayloadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_bytes(b"hello")

    def test_auto_reads_the_file_and_goes_back(self) -> None:
        with open_payload(str(self.path)) as payload:
            self.assertEqual(expected_checksum(payload, "auto", "md5"), hashlib.md5(b"hello").hexdigest())
            self.assertEqual((length_of(payload), payload.read()), (5, b"hello"))

    def test_a_checksum_that_was_given_is_checked(self) -> None:
        with open_payload(str(self.path)) as payload:
            self.assertEqual(expected_checksum(payload, "ABCDEF01", "crc32"), "abcdef01")
            self.assertRaises(InvalidChecksum, expected_checksum, payload, "xyz", "crc32")

    def test_a_pipe_has_no_length_and_is_read_once(self) -> None:
        reading, writing = os.pipe()
        os.close(writing)
        with os.fdopen(reading, "rb") as payload:
            self.assertIsNone(length_of(payload))
            self.assertRaises(click.UsageError, expected_checksum, payload, "auto", "sha256")


class TransferTests(SynchronousTestCase):
    def test_a_name_stays_on_its_line(self) -> None:
        seen = io.StringIO()
        with redirect_stderr(seen), transfer("Downloading a\nb\udcff", 1, clock=lambda: 0.0) as advance:
            advance(1)
        self.assertEqual(seen.getvalue(), "Downloading a␊b�: 1 bytes in 0.0 s (0.0 MiB/s)\n")


class FailureTests(SynchronousTestCase):
    def test_a_file_name_that_is_no_text(self) -> None:
        error = FileNotFoundError(errno.ENOENT, "No such file or directory", "nope\n\udcff\x1b.bin")
        self.assertEqual(failure(error, "upload").message, "nope �␛.bin: No such file or directory")


class WriteFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "blob.bin"

    def write(self, target: BinaryIO) -> None:
        target.write(b"hello")

    def break_off(self, target: BinaryIO) -> None:
        target.write(b"hel")
        raise RuntimeError("wrong")

    def test_a_file_appears_with_everybodys_rights(self) -> None:
        write_file(self.path, self.write, replace=False)
        self.assertEqual(self.path.read_bytes(), b"hello")
        mask = os.umask(0)
        os.umask(mask)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o666 & ~mask)

    def test_a_failure_leaves_nothing(self) -> None:
        self.assertRaises(RuntimeError, write_file, self.path, self.break_off, False)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_failure_leaves_what_was_there(self) -> None:
        self.path.write_bytes(b"before")
        self.assertRaises(RuntimeError, write_file, self.path, self.break_off, True)
        self.assertEqual(self.path.read_bytes(), b"before")

    def test_a_file_is_not_replaced_unasked(self) -> None:
        self.path.write_bytes(b"before")
        self.assertRaises(click.ClickException, write_file, self.path, self.write, False)
        self.assertEqual(self.path.read_bytes(), b"before")
        write_file(self.path, self.write, replace=True)
        self.assertEqual(self.path.read_bytes(), b"hello")

    def test_a_key_names_no_hidden_file(self) -> None:
        self.assertEqual(_name("lfs/default/demo/0/42-u.bin"), "42-u.bin")
        self.assertEqual(_name("lfs/.profile"), "profile")
        self.assertEqual(_name("lfs/..."), "blob")
