"""``lfsproxy healthcheck``: what it says of doors that are alive, guarded, dead, and hung."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cli import main as cli
from tests.certificates import Authority
from tests.service import ProxyTestCase, unused_port

HEAVY = ("botocore", "kafka", "klein", "rich", "twisted", "urllib3", "OpenSSL", "asyncio")


def check(*options: str, **environment: str) -> Result:
    return CliRunner().invoke(cli.main, ["healthcheck", *options], env=environment)


class AliveTests(ProxyTestCase):
    timeout = 30

    def alive(self, host: str = "127.0.0.1", **settings: str) -> Deferred[Result]:
        """The check's result for a proxy with these settings that listens on ``host``."""
        address = f"{host}:{unused_port()}"
        proxy = self.start(self.proxy(LFS_HTTP_ADDR=address, **settings))
        self.assertTrue(proxy.running)
        return deferToThread(check, LFS_HTTP_ADDR=address, **settings)

    async def test_without_tls(self) -> None:
        for host in ("127.0.0.1", "", "0.0.0.0", "localhost"):
            result = await self.alive(host)
            self.assertEqual(result.exit_code, 0, result.output)
            self.assertRegex(result.output, r"^\S+:\d+ is alive\n$")

    async def test_ipv6(self) -> None:
        for host in ("[::1]", "[::]"):
            result = await self.alive(host)
            self.assertEqual(result.exit_code, 0, result.output)
            self.assertRegex(result.output, r"^\[::1\]:\d+ is alive\n$")

    async def test_below_a_base_path(self) -> None:
        result = await self.alive(LFS_HTTP_BASE_PATH="/lfs")
        self.assertEqual(result.exit_code, 0, result.output)

    async def test_over_tls_whatever_names_the_certificate_has(self) -> None:
        served = Authority(Path(self.mktemp())).issue("proxy.example")
        result = await self.alive(LFS_HTTP_TLS_CERT=str(served.certificate), LFS_HTTP_TLS_KEY=str(served.key))
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertRegex(result.output, r"^\S+:\d+ is alive\n$")

    async def test_a_door_that_asks_for_certificates(self) -> None:
        await self.asks_for_certificates()

    async def test_a_door_that_asks_for_certificates_by_tls_1_2(self) -> None:
        older = ssl._create_unverified_context()
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        self.patch(ssl, "_create_unverified_context", lambda: older)
        await self.asks_for_certificates()

    async def asks_for_certificates(self) -> None:
        authority = Authority(Path(self.mktemp()))
        served = authority.issue("proxy.example")
        result = await self.alive(
            LFS_HTTP_TLS_CERT=str(served.certificate),
            LFS_HTTP_TLS_KEY=str(served.key),
            LFS_HTTP_TLS_CLIENT_CA=str(authority.file),
        )
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertRegex(result.output, r"^\S+:\d+ is alive: it asks for a certificate\n$")

    async def test_a_door_that_speaks_tls_where_the_settings_have_none(self) -> None:
        served = Authority(Path(self.mktemp())).issue("proxy.example")
        address = f"127.0.0.1:{unused_port()}"
        self.start(
            self.proxy(
                LFS_HTTP_ADDR=address,
                LFS_HTTP_TLS_CERT=str(served.certificate),
                LFS_HTTP_TLS_KEY=str(served.key),
            )
        )
        result = await deferToThread(check, LFS_HTTP_ADDR=address)
        self.assertEqual(
            (result.exit_code, result.output),
            (1, f"Error: {address} is not alive: it answers with status 400\n"),
        )


class NotAliveTests(SynchronousTestCase):
    def test_nobody_listens(self) -> None:
        address = f"127.0.0.1:{unused_port()}"
        result = check(LFS_HTTP_ADDR=address)
        self.assertEqual(
            (result.exit_code, result.output),
            (1, f"Error: {address} is not alive: Connection refused\n"),
        )

    def listener(self) -> socket.socket:
        found = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(found.close)
        return found

    def test_a_process_that_hangs(self) -> None:
        address = f"127.0.0.1:{self.listener().getsockname()[1]}"
        served = Authority(Path(self.mktemp())).issue("proxy.example")
        tls = {"LFS_HTTP_TLS_CERT": str(served.certificate), "LFS_HTTP_TLS_KEY": str(served.key)}
        for settings in ({}, tls):
            result = check("--timeout", "0.2", LFS_HTTP_ADDR=address, **settings)
            self.assertEqual(
                (result.exit_code, result.output), (1, f"Error: {address} has not answered within 0.2 s\n")
            )

    def test_something_else_that_listens(self) -> None:
        served = Authority(Path(self.mktemp())).issue("proxy.example")
        mutual = {
            "LFS_HTTP_TLS_CERT": str(served.certificate),
            "LFS_HTTP_TLS_KEY": str(served.key),
            "LFS_HTTP_TLS_CLIENT_CA": str(served.certificate),
        }
        for settings in ({}, mutual):
            listener = self.listener()
            thread = threading.Thread(target=self.say, args=(listener, b"SSH-2.0-x\r\n"))
            thread.start()
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            result = check(LFS_HTTP_ADDR=address, **settings)
            thread.join(10)
            self.assertEqual(result.exit_code, 1, result.output)
            self.assertRegex(result.output, f"^Error: {address} is not alive: [^\n]+\n$")

    def say(self, listener: socket.socket, text: bytes) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(text)

    def test_a_port_that_nobody_knows(self) -> None:
        result = check(LFS_HTTP_ADDR="127.0.0.1:0")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("LFS_HTTP_ADDR has port 0", result.output)

    def test_settings_that_the_proxy_would_not_take(self) -> None:
        result = check(LFS_HTTP_ADDR="8080")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("LFS_HTTP_ADDR is '8080'", result.output)


class StartTests(SynchronousTestCase):
    def test_nothing_is_imported_that_takes_time(self) -> None:
        code = "import lfsproxy.cli.main, lfsproxy.cli.healthcheck, sys; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        self.assertEqual([name for name in HEAVY if name in done.stdout.split()], [])
