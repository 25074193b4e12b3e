"""API keys and TLS of the HTTP door as users have them: a process, real servers, and curl."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import sys
from pathlib import Path
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.certificates import Authority, Issued
from tests.integration.http_door import MIB, SIZE, read_records, until
from tests.integration.proxy import ProxyProcess, own_proxy, started
from tests.integration.stack import Stack, in_thread, stack

LFSPROXY = "from lfsproxy.cli.main import main; main()"


class SecurityTests(TestCase):
    """Tests with a proxy and a topic of their own."""

    timeout = 180
    servers: Stack
    topic: str
    proxy: ProxyProcess

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()
        self.topic = await self.servers.new_topic("security")
        self.folder = self.absolute(self.mktemp())
        self.authority = Authority(self.folder)
        self.own = self.authority.issue("localhost", "127.0.0.1")
        self.me = self.authority.issue("me")

    @staticmethod
    def absolute(path: str) -> Path:
        return Path(path).absolute()

    async def curl(self, *arguments: str, path: str | None = None) -> tuple[int, str, str]:
        """curl's exit code, the status and body, and what -v says; the proxy's authority is trusted."""
        given = ("-sSv", "--cacert", str(self.authority.file))
        path = path or f"/v1/topics/{self.topic}/records"
        out, err, code = await getProcessOutputAndValue(
            "curl",
            [*given, "-w", "\n%{http_code}", *arguments, f"{self.proxy.http}{path}"],
            env={**os.environ, "no_proxy": "*"},
        )
        return code, out.decode(), err.decode("utf-8", "replace")

    async def status(self, *arguments: str, path: str | None = None) -> tuple[int, Any]:
        """The status and the JSON body of an answer."""
        code, out, err = await self.curl(*arguments, path=path)
        self.assertEqual(code, 0, err)
        body, _, status = out.rpartition("\n")
        return int(status), json.loads(body) if body else None

    async def lfsproxy(self, *arguments: str, **variables: str) -> str:
        """Run the ``lfsproxy`` command; what it prints."""
        out, err, code = await getProcessOutputAndValue(
            sys.executable,
            ["-c", LFSPROXY, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **variables},
        )
        self.assertEqual(code, 0, err.decode())
        return str(out.decode().strip())

    async def https(self, me: Issued | None = None, **settings: str) -> ProxyProcess:
        """A proxy with a certificate; ``me`` is what the test asks it with."""
        context = ssl.create_default_context(cafile=str(self.authority.file))
        if me is not None:
            context.load_cert_chain(str(me.certificate), str(me.key))
        own = {"LFS_HTTP_TLS_CERT": str(self.own.certificate), "LFS_HTTP_TLS_KEY": str(self.own.key)}
        return await started(self, ProxyProcess({**self.servers.environment, **own, **settings}, context))


class ApiKeyTests(SecurityTests):
    async def key(self, name: str, topic: str, *actions: str) -> str:
        options = [part for action in actions for part in ("--action", action)]
        return await self.lfsproxy(
            "keys", "add", "--file", str(self.keys), "--name", name, "--topic", topic, *options
        )

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.keys = self.folder / "keys.json"
        self.writer = await self.key("writer", f"{self.topic[:-2]}*", "write")
        self.proxy = await own_proxy(self, self.servers, LFS_HTTP_API_KEYS_FILE=str(self.keys))

    async def ask(self, token: str | None, *arguments: str, path: str | None = None) -> tuple[int, Any]:
        given = () if token is None else ("-H", f"Authorization: Bearer {token}")
        return await self.status(*given, *arguments, path=path)

    async def test_keys_are_asked_for_and_change_while_the_proxy_runs(self) -> None:
        upload = ("--data-binary", "hello")
        status, answer = await self.ask(None, *upload)
        self.assertEqual((status, answer["type"]), (401, "/problems/api-key-required"))
        status, answer = await self.ask(self.writer, *upload)
        self.assertEqual(status, 201)
        record = f"/v1/topics/{self.topic}/partitions/{answer['partition']}/records/{answer['offset']}"
        envelope = answer["envelope"]

        status, answer = await self.ask(self.writer, path=f"{record}/envelope")
        self.assertEqual((status, answer["type"]), (403, "/problems/api-key-not-allowed"))
        reader = await self.key("reader", "*", "read")
        self.assertEqual(await self.ask(reader, path=f"{record}/envelope"), (200, envelope))
        self.assertEqual((await self.ask(reader, *upload))[0], 403)

        await self.lfsproxy("keys", "revoke", "--file", str(self.keys), "writer")
        status, answer = await self.ask(self.writer, *upload)
        self.assertEqual((status, answer["type"]), (401, "/problems/api-key-invalid"))
        self.assertEqual(len(await in_thread(read_records, self.servers, self.topic)), 1)
        for token in (self.writer, reader):
            self.assertNotIn(token[-43:], self.proxy.log)
        self.assertIn(f"(key {reader.split('_')[1]}) GET {record}/envelope 200", self.proxy.log)

    async def test_a_refusal_asks_for_no_body(self) -> None:
        path = self.folder / "large"
        path.write_bytes(bytes(4 * MIB))
        code, out, err = await self.curl("-H", "Expect: 100-continue", "--data-binary", f"@{path}")
        self.assertEqual((code, out.rpartition("\n")[2]), (0, "401"), err)
        self.assertNotIn("100 Continue", err)
        self.assertIn('WWW-Authenticate: Bearer realm="lfsproxy"', err)

    async def test_the_command_sends_its_key(self) -> None:
        path = self.folder / "file"
        path.write_bytes(b"hello")
        upload = ("upload", str(path), "--topic", self.topic, "--url", self.proxy.http)
        self.assertEqual(await self.lfsproxy(*upload, LFS_API_KEY=self.writer), f"{self.topic}:0:0")

    async def test_a_start_without_the_file_is_one_line(self) -> None:
        missing = str(self.folder / "nothing.json")
        out, err, code = await getProcessOutputAndValue(
            sys.executable,
            ["-c", LFSPROXY, "serve"],
            env={**self.proxy.environment, "LFS_HTTP_API_KEYS_FILE": missing},
        )
        self.assertEqual(code, 1)
        (line,) = (out + err).decode().splitlines()
        self.assertRegex(line, rf"LFS_HTTP_API_KEYS_FILE is '{missing}': the path of a file .*No such file")


class HttpsTests(SecurityTests):
    async def test_a_large_upload_and_its_download(self) -> None:
        self.proxy = await self.https(
            LFS_METRICS_TLS="true",
            LFS_HTTP_BASE_PATH="/lfs",
        )
        file = self.folder / "large"
        checksum = hashlib.sha256()
        with file.open("wb") as writing:
            for number in range(SIZE // MIB):
                block = hashlib.sha256(b"%d" % number).digest() * (MIB // 32)
                checksum.update(block)
                writing.write(block)
        code, out, err = await self.curl("--limit-rate", "0", "-T", str(file), "-X", "POST")
        self.assertEqual((code, out.rpartition("\n")[2]), (0, "201"), err)
        self.assertIn("ALPN: server accepted http/1.1", err)
        answer = json.loads(out.rpartition("\n")[0])
        self.assertEqual(answer["envelope"]["checksum"], checksum.hexdigest())
        where = f"/v1/topics/{self.topic}/partitions/0/records/{answer['offset']}"
        self.assertIn(f"Location: /lfs{where}", err)

        fetched = self.folder / "fetched"
        status = await self.status("-o", str(fetched), path=f"/lfs{where}")
        self.assertEqual(status[0], 200)
        with fetched.open("rb") as reading:
            self.assertEqual(hashlib.file_digest(reading, "sha256").hexdigest(), checksum.hexdigest())
        printed = await self.lfsproxy(
            *("upload", str(self.authority.file), "--topic", self.topic, "--url", f"{self.proxy.http}/lfs"),
            SSL_CERT_FILE=str(self.authority.file),
        )
        self.assertRegex(printed, rf"^{self.topic}:\d+:\d+$")
        metrics = await in_thread(self.proxy.metrics)
        name = 'lfsproxy_http_requests_total{method="POST",route="/v1/topics/{topic}/records",status="201"}'
        self.assertEqual(metrics[name], 2.0)

    async def test_a_stream_over_tls_costs_no_more_memory_than_its_parts(self) -> None:
        self.proxy = await self.https(
            LFS_UPLOAD_MEMORY=str(20 * MIB),
            LFS_S3_PART_SIZE=str(5 * MIB),
            LFS_MAX_PASSTHROUGH_SIZE=str(MIB),
        )
        warm = self.folder / "warm"
        warm.write_bytes(bytes(24 * MIB))
        self.assertEqual((await self.status("--data-binary", f"@{warm}"))[0], 201)
        before = await in_thread(lambda: self.proxy.memory)
        large = self.folder / "large"
        with large.open("wb") as writing:
            writing.truncate(4 * SIZE)
        self.assertEqual((await self.status("-T", str(large), "-X", "POST"))[0], 201)
        grown = await in_thread(lambda: self.proxy.peak_memory) - before
        self.assertLess(grown, 32 * MIB)

    async def test_a_new_certificate_is_used_without_a_restart(self) -> None:
        self.proxy = await self.https()
        serial = await in_thread(self.serial)
        other = self.authority.issue("127.0.0.1", "localhost")
        os.replace(other.key, self.own.key)
        os.replace(other.certificate, self.own.certificate)
        self.assertNotEqual(await in_thread(self.serial), serial)
        self.assertEqual((await self.status(path="/healthz"))[0], 200)
        self.own.certificate.write_bytes(b"nonsense")
        self.assertEqual((await self.status(path="/healthz"))[0], 200)
        await until(lambda: "not usable now, the ones read before stay" in self.proxy.log)

    def serial(self) -> bytes:
        """The certificate that the port shows."""
        return ssl.get_server_certificate(("127.0.0.1", self.proxy.http_port)).encode()

    async def test_mutual_tls(self) -> None:
        self.proxy = await self.https(
            self.me,
            LFS_HTTP_TLS_CLIENT_CA=str(self.authority.file),
        )
        mine = ("--cert", str(self.me.certificate), "--key", str(self.me.key))
        self.assertEqual((await self.status(*mine, "--data-binary", "hello"))[0], 201)
        stranger = Authority(self.folder, "stranger").issue("me")
        theirs = ("--cert", str(stranger.certificate), "--key", str(stranger.key))
        for certificate in ((), theirs):
            code, out, _ = await self.curl(*certificate, "--data-binary", "hello")
            self.assertEqual((code != 0, out.rpartition("\n")[2]), (True, "000"))
        await until(lambda: self.proxy.log.count("is turned away: TLS: ") == 2)
        self.assertEqual(len(await in_thread(read_records, self.servers, self.topic)), 1)

    async def test_plain_http_is_told_the_way(self) -> None:
        self.proxy = await self.https()
        out, _, code = await getProcessOutputAndValue(
            "curl",
            ["-sS", f"http://127.0.0.1:{self.proxy.http_port}/healthz"],
            env={"no_proxy": "*", **os.environ},
        )
        self.assertEqual((code, out), (0, b"This port speaks HTTPS: use https:// in the URL.\n"))
