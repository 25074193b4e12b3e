"""Whatever goes wrong, a command ends with one sentence and the exit status that docs/cli.md names.

Each row of the table runs ``lfsproxy`` as a process of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.devstack.ports import free_port
from lfsproxy.envelope import Envelope
from lfsproxy.words import is_notation
from tests.certificates import Authority
from tests.cli.strangers import Stranger, dies, hangs, hangs_up, page, says, shortens

COMMAND = [sys.executable, "-c", "from lfsproxy.cli.main import main; main(prog_name='lfsproxy')"]
MIB = 1024 * 1024
BLOB = b"0123456789abcdef" * 65536
ALERT = b"\x15\x03\x01\0\2\2\x46"
"""How a server that speaks TLS answers what is not."""
HTML = b"<!DOCTYPE html>\n<html>\n<body>Nothing here</body>\n</html>\n"
TOPIC = ("--topic", "t")


@attrs.frozen
class Row:
    """A command, what its last line has to say, and its exit status. ``redirect`` is put behind it in sh."""

    arguments: tuple[str | bytes, ...]
    said: str
    code: int = 1
    variables: Mapping[str, str] = {}
    redirect: str = ""


@attrs.frozen
class Done:
    """How a row ended."""

    row: Row
    code: int
    err: str

    def complaints(self) -> Iterator[str]:
        """What is wrong with it."""
        lines = self.err.splitlines()
        last = lines[-1] if lines else ""
        if self.code != self.row.code:
            yield f"status {self.code}, not {self.row.code}"
        if self.row.said not in last:
            yield f"does not say {self.row.said}"
        if not last.startswith(("Error: ", "lfsproxy: ")) or len(last) < 15:
            yield "the last line is no sentence"
        usual = ("Usage: ", "Try ", "Uploading f.bin")
        if any(line and not line.startswith(usual) for line in lines[:-1]):
            yield "there are other lines"
        if "Traceback" in self.err or is_notation(self.err):
            yield "has Python's notation"


def envelope(data: bytes = BLOB, **fields: str) -> str:
    made = {
        "s3_bucket": "kafscale",
        "s3_key": "lfs/default/t/0/1-u.bin",
        "content_type": "text/plain",
        "content_length": len(data),
        "checksum_algo": "crc32",
        "checksum": f"{zlib.crc32(data):08x}",
        **fields,
    }
    return Envelope(**made).to_bytes().decode()  # type: ignore[arg-type]


class FaultsTestCase(SynchronousTestCase):
    """Has a folder, in which the commands run, and strangers."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_"))}
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        self.environment = {**inherited, **keys, "COLUMNS": "200"}

    def stranger(self, *arguments: object) -> Stranger:
        made = Stranger(*arguments)  # type: ignore[arg-type]
        self.addCleanup(made.close)
        return made

    def begin(self, *arguments: str, **kwargs: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # type: ignore[call-overload]
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self.environment,
            **kwargs,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process  # type: ignore[no-any-return]

    def interrupt(self, process: subprocess.Popen[bytes], server: Stranger) -> None:
        """Ctrl-C, when the command has reached the server."""
        while not server.taken and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)

    def run_row(self, row: Row) -> Done:
        command: list[str | bytes] = [*COMMAND, *row.arguments]
        if row.redirect:
            command = ["sh", "-c", f'"$@" {row.redirect}', "sh", *command]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=self.folder,
            env={**self.environment, **row.variables},
            check=False,
            timeout=90,
        )
        return Done(row, done.returncode, done.stderr.decode("utf-8", "replace"))

    def check(self, *rows: Row) -> None:
        with ThreadPoolExecutor(6) as pool:
            bad = [
                f"{done.row}\n  {'; '.join(complaints)}\n  {done.code} {done.err}"
                for done in pool.map(self.run_row, rows)
                if (complaints := list(done.complaints()))
            ]
        self.assertEqual(bad, [], "\n" + "\n".join(bad))


class UploadTests(FaultsTestCase):
    def to(self, server: Stranger | str, said: str, *arguments: str | bytes, **fields: object) -> Row:
        url = server if isinstance(server, str) else f"http://127.0.0.1:{server.port}"
        given = ("upload", "f.bin", *TOPIC, "--url", url, *arguments)
        return Row(given, said, **fields)  # type: ignore[arg-type]

    def test_files_and_arguments(self) -> None:
        (self.folder / "f.bin").write_bytes(b"x" * MIB)
        (self.folder / "folder").mkdir()
        web = self.stranger(says(page("201 Created", b"{}")))
        there = ("--url", f"http://127.0.0.1:{web.port}")
        self.check(
            Row(("upload", "folder", *TOPIC), "folder: Is a directory"),
            Row(("upload", "nothing", *TOPIC), "nothing: No such file or directory"),
            Row(("upload", "/proc/self/mem", *TOPIC, *there), "/proc/self/mem: Input/output error"),
            Row(("upload", "-", *TOPIC), "standard input: it is closed", redirect="<&-"),
            Row(("upload", "f.bin", *TOPIC), "standard output: it is closed", redirect=">&-"),
            self.to(web, "an argument is not UTF-8", "--key", b"\xff", code=2),
            self.to(web, "an argument is not UTF-8", "--header", b"\xff:\xff", code=2),
            self.to(web, "'x' is not name:value", "--header", "x", code=2),
            self.to(web, "64 hex digits", "--checksum", "zz"),
            self.to("ftp://x", "--url is 'ftp://x': what is needed is an http or https URL", code=2),
            self.to("http://[::1", "--url is 'http://[::1': what is needed is", code=2),
            self.to("http://localhost:abc", "--url is 'http://localhost:abc': what is needed is", code=2),
            self.to("http://nobody.invalid", "Failed to resolve 'nobody.invalid'"),
        )

    def test_other_servers(self) -> None:
        (self.folder / "f.bin").write_bytes(b"x" * MIB)
        certificate = Authority(self.folder / "certificates").issue("localhost", "127.0.0.1")
        metrics = self.stranger(says(page("405 Method Not Allowed", HTML)))
        tls = self.stranger(says(b""), certificate)
        self.check(
            self.to(f"http://127.0.0.1:{free_port()}", "cannot be reached"),
            self.to(metrics, "405, Method Not Allowed, and not the proxy's: is this the URL of its HTTP API"),
            self.to(self.stranger(says(page("200 OK", HTML))), "the answer is 200, OK, and not the proxy's"),
            self.to(self.stranger(says(page("201 Created", HTML))), "is not JSON, so it is not the proxy's"),
            self.to(self.stranger(says(page("201 Created", b"[]"))), "it is no JSON object"),
            self.to(self.stranger(says(page("201 Created", b'{"envelope":{}}'))), "there is no 'topic'"),
            self.to(
                self.stranger(says(b"SSH-2.0-OpenSSH_9.6\r\n", False)), "its answer begins with 'SSH-2.0-Open"
            ),
            self.to(self.stranger(says(ALERT)), "it speaks TLS, which an https URL is for"),
            self.to(self.stranger(says(b"\0\0\0\x08\0\0\0\1\0\x23\0\0")), "its answer is not HTTP"),
            self.to(self.stranger(says(b"")), "the connection was closed without an answer (where"),
            self.to(self.stranger(dies), "published: "),
            self.to(self.stranger(says(page("201 Created", b"{" * 99)[:-50])), "the answer broke off"),
            self.to(f"https://127.0.0.1:{metrics.port}", "is this a port for http, not https?"),
            self.to(f"https://127.0.0.1:{tls.port}", "SSL_CERT_FILE names the file of authorities to trust"),
        )

    def test_a_file_that_becomes_shorter(self) -> None:
        file = self.folder / "f.bin"
        file.touch()
        os.truncate(file, 64 * MIB)
        self.check(self.to(self.stranger(shortens(file, MIB)), "f.bin became shorter while it was sent"))

    def test_an_interrupt(self) -> None:
        (self.folder / "f.bin").write_bytes(b"x" * MIB)
        server = self.stranger(hangs)
        process = self.begin("upload", "f.bin", *TOPIC, "--url", f"http://127.0.0.1:{server.port}")
        self.interrupt(process, server)
        self.assertEqual(
            process.communicate()[1].splitlines()[-1],
            b"Error: interrupted: if all was sent by then, the record may be published nevertheless",
        )
        self.assertEqual(process.returncode, 130)


class KafkaTests(FaultsTestCase):
    def test_other_servers_and_addresses(self) -> None:
        (self.folder / "f.bin").write_bytes(b"x")
        (self.folder / "empty.pem").touch()
        certificate = Authority(self.folder / "certificates").issue("localhost", "127.0.0.1")
        web = self.stranger(says(page("405 Method Not Allowed", HTML)))
        tls = self.stranger(says(b""), certificate)
        secure = {"LFS_KAFKA_SECURITY_PROTOCOL": "SSL"}

        def at(server: Stranger | str, said: str, **fields: object) -> Row:
            address = server if isinstance(server, str) else f"127.0.0.1:{server.port}"
            return Row(("consume", "t", "--bootstrap", address), said, **fields)  # type: ignore[arg-type]

        self.check(
            Row(
                ("produce", "f.bin", *TOPIC, "--bootstrap", f"127.0.0.1:{web.port}"),
                "is an HTTP server, not a Kafka broker: --bootstrap needs the Kafka port",
            ),
            Row(("download", "t:0:1", "--bootstrap", f"127.0.0.1:{free_port()}"), "Connection refused"),
            at("nobody.invalid:9092", "its host name is not known"),
            at(self.stranger(says(b"SSH-2.0-OpenSSH_9.6\r\n", False)), "begins with 'SSH-2.0"),
            at(self.stranger(says(ALERT)), "speaks TLS: LFS_KAFKA_SECURITY_PROTOCOL"),
            at(self.stranger(hangs_up), "closes the connection without an answer"),
            at(self.stranger(hangs), "takes connections but gives no answer"),
            at(tls, "LFS_KAFKA_TLS_CA names the authorities to trust", variables=secure),
            at(web, "wrong version number: is that port for TLS?", variables=secure),
            at(web, "not usable as PEM", variables={**secure, "LFS_KAFKA_TLS_CA": "empty.pem"}),
            at(web, "No such file or directory", variables={**secure, "LFS_KAFKA_TLS_CA": "none.pem"}),
            at(web, "one of PLAINTEXT, SSL,", variables={"LFS_KAFKA_SECURITY_PROTOCOL": "TLS"}),
            at("localhost:abc", "--bootstrap is 'localhost:abc': host:port", code=2),
            at("", "--bootstrap is ''", code=2),
            Row(("produce", "folder-that-is-none", *TOPIC), "folder-that-is-none: No such file or directory"),
            Row(("produce", "-", *TOPIC), "standard input: it is closed", redirect="<&-"),
        )

    def test_an_interrupt_ends_consume_quietly(self) -> None:
        server = self.stranger(hangs)
        process = self.begin("consume", "t", "--bootstrap", f"127.0.0.1:{server.port}")
        self.interrupt(process, server)
        self.assertEqual((process.communicate()[1], process.returncode), (b"", 130))


class DownloadTests(FaultsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.stranger(says(page("200 OK", BLOB)))

    def from_(self, server: Stranger | str, said: str, *arguments: str, **fields: object) -> Row:
        endpoint = server if isinstance(server, str) else f"http://127.0.0.1:{server.port}"
        arguments = arguments or ("-o", "out.bin")
        given = ("download", "-q", envelope(), "--s3-endpoint", endpoint, *arguments)
        return Row(given, said, **fields)  # type: ignore[arg-type]

    def test_where_it_is_written(self) -> None:
        (self.folder / "folder").mkdir()
        (self.folder / "file").touch()
        full = "No space left on device; make room"
        self.check(
            self.from_(self.store, "Error: folder is a folder", "-o", "folder"),
            self.from_(self.store, "Error: no/such.bin: No such file or directory", "-o", "no/such.bin"),
            self.from_(self.store, "Error: file/x: Not a directory", "-o", "file/x"),
            self.from_(self.store, "file exists; --force replaces it", "-o", "file"),
            self.from_(self.store, f"{'x' * 300}: File name too long", "-o", "x" * 300),
            self.from_(self.store, f"/dev/full: {full}", "-o", "/dev/full"),
            self.from_(self.store, f"standard output: {full}", "-o", "-", redirect=">/dev/full"),
            self.from_(self.store, "standard output: it is closed", "-o", "-", redirect=">&-"),
            Row(("--version",), f"standard output: {full}", redirect=">/dev/full"),
        )

    def test_what_is_read(self) -> None:
        certificate = Authority(self.folder / "certificates").issue("localhost", "127.0.0.1")
        web = self.stranger(says(page("405 Method Not Allowed", HTML)))
        tls = self.stranger(says(b""), certificate)
        (self.folder / "broken").write_text("[[[nonsense")
        (self.folder / "binary").write_bytes(b"\xff\xfe[")
        secure = f"https://127.0.0.1:{tls.port}"
        self.check(
            self.from_(web, "which does not answer as S3 does: is that its address?"),
            self.from_(self.stranger(says(b"SSH-2.0-OpenSSH_9.6\r\n", False)), "it is no HTTP server"),
            self.from_(self.stranger(hangs_up), "(LFS_S3_ENDPOINT): the connection was closed"),
            self.from_(f"http://127.0.0.1:{free_port()}", "(LFS_S3_ENDPOINT): Connection refused"),
            self.from_(f"https://127.0.0.1:{web.port}", "is this a port for http, not https?"),
            self.from_(secure, "LFS_S3_CA or AWS_CA_BUNDLE names the file of authorities to trust"),
            self.from_(secure, "LFS_S3_CA is 'none.pem': not usable", variables={"LFS_S3_CA": "none.pem"}),
            self.from_(secure, "AWS_CA_BUNDLE is 'broken'", variables={"AWS_CA_BUNDLE": "broken"}),
            self.from_("nonsense", "LFS_S3_ENDPOINT is 'nonsense'"),
            self.from_(web, "Unable to parse config file: broken", variables={"AWS_CONFIG_FILE": "broken"}),
            self.from_(web, "Unable to parse config file: binary", variables={"AWS_CONFIG_FILE": "binary"}),
            self.from_(
                web, "The config profile (none) could not be found", variables={"AWS_PROFILE": "none"}
            ),
            Row(("download", "nonsense"), "neither an envelope nor TOPIC:PARTITION:OFFSET"),
            Row(("download", b"\xff"), "an argument is not UTF-8", code=2),
            Row(("download", "[" * 5000 + '{"lfs_version"'), "neither an envelope nor"),
            Row(("download", '{"lfs_version":' + "[" * 5000), "neither an envelope nor"),
            Row(("download", "-"), "standard input: it is closed", redirect="<&-"),
            Row(("download", envelope(checksum_algo="sha1")), "sha1"),
        )

    def test_a_reader_that_leaves_ends_it_quietly(self) -> None:
        endpoint = f"http://127.0.0.1:{self.store.port}"
        arguments = ("download", "-q", envelope(), "-o", "-", "--s3-endpoint", endpoint)
        process = self.begin(*arguments, stdout=subprocess.PIPE, bufsize=0)
        assert process.stdout is not None and process.stderr is not None
        self.assertEqual(len(process.stdout.read(1)), 1)
        process.stdout.close()
        self.assertEqual((process.stderr.read(), process.wait()), (b"", 141))

    def test_a_special_file_stays_what_it_is(self) -> None:
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        endpoint = f"http://127.0.0.1:{self.store.port}"
        process = self.begin(
            "download", "-q", envelope(), "-o", "pipe", "--s3-endpoint", endpoint, stdout=subprocess.DEVNULL
        )
        self.assertTrue(pipe.read_bytes() == BLOB)
        self.assertEqual(process.wait(), 0)
        self.assertTrue(pipe.is_fifo())


class KeysAndServeTests(FaultsTestCase):
    def test_faults(self) -> None:
        (self.folder / "binary").write_bytes(b"\xff{")
        (self.folder / "text").write_text("[[[")
        (self.folder / "folder").mkdir()
        web = self.stranger(hangs)
        new = ("--name", "a", *TOPIC, "--action", "read")

        def keys(command: str, file: str, said: str, *more: str, **fields: object) -> Row:
            return Row(("keys", command, "--file", file, *more), said, **fields)  # type: ignore[arg-type]

        def serve(said: str, **variables: str) -> Row:
            free = {f"LFS_{name}_ADDR": "127.0.0.1:0" for name in ("HTTP", "KAFKA", "METRICS")}
            return Row(("serve",), said, variables={**free, **variables})

        self.check(
            keys("list", "binary", "binary is not a file of API keys: it is not UTF-8"),
            keys("list", "text", "text is not a file of API keys"),
            keys("list", "none", "none: No such file or directory"),
            keys("list", "folder", "'folder' is a directory", code=2),
            keys("add", "no/such", "no: No such file or directory", *new),
            keys("add", "new", "standard output: it is closed", *new, redirect=">&-"),
            keys("revoke", "none", "none: No such file or directory", "a"),
            serve("LFS_HTTP_ADDR is 'nonsense'", LFS_HTTP_ADDR="nonsense"),
            serve("LFS_S3_CA is 'none.pem'", LFS_S3_CA="none.pem"),
            Row(("serve", "--nonsense"), "lfsproxy serve --help lists the options", code=2),
            Row(("frobnicate",), "No such command", code=2),
        )
        self.assertFalse((self.folder / "new").exists())
        port = Row(("serve",), "", variables={"LFS_HTTP_ADDR": f"127.0.0.1:{web.port}"})
        self.assertEqual(self.run_row(port).code, 1)

    def test_a_list_that_nobody_reads(self) -> None:
        (self.folder / "keys").write_text('{"keys": []}')
        process = self.begin("keys", "list", "--file", "keys", stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        self.assertEqual((process.stderr.read(), process.wait()), (b"", 141))
