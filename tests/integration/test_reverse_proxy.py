"""docs/http.md, "Behind a reverse proxy": the example's nginx passes on what it should."""

from __future__ import annotations

import http.client
import shutil
import socket
from contextlib import closing
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.devstack.process import ServerProcess
from tests.integration.proxy import ProxyProcess, shared_proxy
from tests.integration.rights import EXAMPLES
from tests.integration.stack import in_thread, stack
from tests.integration.tus import MIB, TUS, pattern

STORES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
"""What nginx makes a folder for, in which it stores bodies."""


class NginxTests(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        tool = shutil.which("nginx")
        if tool is None:
            raise SkipTest("the example for nginx is NOT TRIED: nginx is not on PATH")
        self.topic = await (await stack()).new_topic("nginx")
        self.port = free_port()
        proxy = await shared_proxy()
        folder = await in_thread(made, self.mktemp())
        configuration = configured(folder, proxy, self.port)
        self.server = ServerProcess("nginx", folder / "log")
        self.addCleanup(in_thread, self.server.stop)
        command = [tool, "-p", str(folder), "-c", str(configuration), "-e", str(folder / "errors")]
        await in_thread(self.server.start, command, ready=lambda: listens(self.port), timeout=30)
        # Whatever it would store on its disk, it cannot.
        for name in STORES:
            shutil.rmtree(folder / name)

    async def test_a_large_body_passes_both_ways_and_is_not_stored(self) -> None:
        body = pattern(20 * MIB)
        records = f"/v1/topics/{self.topic}/records"
        status, _, _ = await in_thread(self.ask, "POST", records, body)
        self.assertEqual(status, 201)
        status, _, read = await in_thread(self.ask, "GET", f"/v1/topics/{self.topic}/partitions/0/records/0")
        self.assertEqual(status, 200)
        self.assertTrue(read == body)

    async def test_a_resumable_upload(self) -> None:
        body = pattern(20 * MIB)
        status, location, _ = await in_thread(
            self.ask, "POST", f"/v1/topics/{self.topic}/uploads", b"", {"Upload-Length": str(len(body))}
        )
        self.assertEqual(status, 201)
        for at in (0, 10 * MIB):
            headers = {"Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"}
            status, _, _ = await in_thread(self.ask, "PATCH", location, body[at : at + 10 * MIB], headers)
            self.assertEqual(status, 204)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        """Status, Location and body of an answer. Blocks."""
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=60)) as connection:
            connection.request(method, path, body, {**TUS, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Location", ""), answer.read()


def configured(folder: Path, proxy: ProxyProcess, port: int) -> Path:
    """The example with other ports, in a whole configuration of nginx."""
    server = (EXAMPLES / "nginx.conf").read_text(encoding="utf-8")
    for written, real in (
        ("listen 80;", f"listen {HOST}:{port};"),
        ("127.0.0.1:8080", proxy.http.split("/")[-1]),
    ):
        if written not in server:
            raise AssertionError(written)
        server = server.replace(written, real)
    paths = "".join(f"{name}_temp_path {folder / name};\n" for name in STORES)
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off;\nmaster_process off;\npid {folder / 'pid'};\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{server}}}\n",
        encoding="utf-8",
    )
    return file


def made(folder: str) -> Path:
    path = Path(folder).absolute()
    path.mkdir(parents=True)
    return path


def listens(port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex((HOST, port)) == 0
