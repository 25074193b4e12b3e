"""No secret is in anything that the proxy or a command prints at the level debug: each door, each way to sign
in, right and wrong credentials, tracebacks, spans, what systemd is told.

Most of its time is the starts of two dozen processes and of an S3 server.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import attrs
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.ports import HOST
from lfsproxy.wire.sasl import TokenProvider
from tests.collector import Collector
from tests.integration.clients.python import kafka_python, librdkafka
from tests.integration.clients.records import Mode, lfs
from tests.integration.clients.security import of_kafka_python, of_librdkafka
from tests.integration.leaks import forms, leaks, lines_of_key
from tests.integration.notified import NotifySocket
from tests.integration.proxy import ProxyProcess
from tests.integration.raw import RawClient
from tests.integration.secret_commands import Command, Commands
from tests.integration.secured import PASSWORDS, SecuredKafka, secured, token
from tests.integration.stack import BUCKET, Stack, in_thread, own_s3
from tests.integration.token_server import CLIENT, SECRET, TokenServer
from tests.relay.sasl import authenticate, handshake
from tests.s3.fake_s3 import FakeS3

S3_KEY = "s3/Secret+of the=store"
SESSION = "session/Token+of=the/store"
WRONG_S3_KEY = "wrong/S3+key="
WRONG_PASSWORD = 'wrong "pass+word/&%'
WRONG_CLIENT = "wrong/client+secret="
COLLECTOR_KEY = "collector/Key+1"
HTTP_PROXY_PASSWORD = "proxy-of-http/s+cret"
MISSPELT = "misspelt/Secret+1"
IN_A_URL = "password-in-a-url"
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
DEBUG = {"LFS_LOG_LEVEL": "debug"}
COMMAND = [sys.executable, "-c", "from lfsproxy.cli.main import main; main()", "--debug"]


class FormsTests(SynchronousTestCase):
    def test_a_secret_is_found_in_each_of_them(self) -> None:
        plain = "\0alice\0" + WRONG_PASSWORD
        texts = {
            "json": json.dumps({"password": WRONG_PASSWORD}),
            "repr": repr(plain.encode()),
            "url": "x=wrong+%22pass%2Bword%2F%26%25&y",
            "lower": "wrong%20%22pass%2bword%2f%26%25",
            "hex": plain.encode().hex(),
            "base64": "AGFsaWNlAHdyb25nICJwYXNzK3dvcmQvJiU=",
            "basic": "bGZzcHJveHk6d3JvbmcrJTIycGFzcyUyQndvcmQlMkYlMjYlMjU=",
            "nothing": "wrong password",
        }
        found = [line.partition(":")[0] for line in leaks({"it": WRONG_PASSWORD}, texts)]
        self.assertEqual(found, [f"it is in {name}" for name in texts if name != "nothing"])
        self.assertGreater(min(map(len, forms(SECRET))), 6)


def new_folder(path: str) -> Path:
    folder = Path(path).absolute()
    folder.mkdir(parents=True)
    return folder


@attrs.define
class Spoken:
    """Every secret by its name, and everything that was printed by where."""

    secrets: dict[str, str] = attrs.Factory(dict)
    said: dict[str, str] = attrs.Factory(dict)


class SecretTests(TestCase):
    timeout = 400

    async def setUp(self) -> None:  # type: ignore[override]
        self.kafka: SecuredKafka = await secured()
        s3 = await own_s3(self, secret_key=S3_KEY)
        self.stack = Stack(self.kafka.kafka, s3, BUCKET)
        self.folder = new_folder(self.mktemp())
        self.topic, self.other = [await self.stack.new_topic("secrets") for _ in range(2)]
        self.tokens = TokenServer(self.kafka.tokens.key)
        self.addCleanup(in_thread, self.tokens.stop)
        self.collector = Collector()
        self.addCleanup(self.collector.stop)
        self.notify = NotifySocket(Path(self.kafka.folder))
        self.addCleanup(self.notify.path.unlink)
        self.addCleanup(self.notify.close)
        self.token = token("alice")
        self.unexpected: list[object] = []
        self.spoken = Spoken(
            {
                "the S3 key": S3_KEY,
                "the session token": SESSION,
                "a wrong S3 key": WRONG_S3_KEY,
                "a wrong password": WRONG_PASSWORD,
                "the client's secret": SECRET,
                "a wrong client's secret": WRONG_CLIENT,
                "the collector's key": COLLECTOR_KEY,
                "the HTTP proxy's password": HTTP_PROXY_PASSWORD,
                "a misspelt variable's value": MISSPELT,
                "a password in a URL": IN_A_URL,
                "alice's token": self.token,
                **{f"the password of {name}": password for name, password in PASSWORDS.items()},
            }
        )
        for issued in (self.kafka.listener, self.kafka.me):
            for number, line in enumerate(lines_of_key(issued.key)):
                self.spoken.secrets[f"line {number} of {issued.key.name}"] = line
        self.keys = self.folder / "keys.json"
        self.key = self.run_command(
            "keys",
            "add",
            "--file",
            str(self.keys),
            "--name",
            "all",
            "--topic",
            "*",
            "--action",
            "write",
            "--action",
            "read",
        ).stdout.strip()
        self.spoken.secrets["the API key"] = self.key
        self.wrong_key = self.key[:-43] + "A" * 43
        self.spoken.secrets["a wrong API key"] = self.wrong_key[-60:]
        self.environment = {
            **self.stack.environment,
            **DEBUG,
            "LFS_KAFKA_SASL_PASWORD": MISSPELT,
            "HTTP_PROXY": f"http://user:{HTTP_PROXY_PASSWORD}@127.0.0.1:9",
            "NO_PROXY": HOST,
        }

    def run_command(
        self, *arguments: str, variables: Mapping[str, str] = {}, name: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run ``lfsproxy --debug``; what one with a name prints is searched. Blocks."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_"))}
        done = subprocess.run(
            [*COMMAND, *arguments],
            env={**inherited, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if name:
            self.spoken.said[f"{name}, standard output"] = done.stdout
            self.spoken.said[f"{name}, standard error"] = done.stderr
        return done

    def proxy(self, name: str, settings: Mapping[str, str]) -> ProxyProcess:
        context = ssl.create_default_context(cafile=str(self.kafka.authority.file))
        proxy = ProxyProcess({**self.environment, **settings}, context)
        self.addCleanup(in_thread, proxy.close)
        return proxy

    async def test_no_secret_is_printed(self) -> None:
        own = self.kafka.listener
        self.fake = FakeS3()
        port: Any = cast(Any, reactor).listenTCP(0, self.fake, interface=HOST)
        self.addCleanup(port.stopListening)
        door = self.proxy(
            "door",
            {
                **self.kafka.environment("SASLTLS", "SCRAM-SHA-256"),
                "LFS_KAFKA_LISTENER_TLS_CERT": str(own.certificate),
                "LFS_KAFKA_LISTENER_TLS_KEY": str(own.key),
                "LFS_HTTP_TLS_CERT": str(own.certificate),
                "LFS_HTTP_TLS_KEY": str(own.key),
                "LFS_HTTP_API_KEYS_FILE": str(self.keys),
                "LFS_HYDRATE_TOPICS": "*",
                "LFS_LOG_FORMAT": "json",
                "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.url,
                "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={COLLECTOR_KEY}",
                "NOTIFY_SOCKET": str(self.notify.path),
            },
        )
        fetched = self.proxy(
            "fetched",
            {
                **self.kafka.with_token(self.tokens.url(seconds="5")),
                "LFS_KAFKA_CLIENT_IDENTITY": "proxy",
                "LFS_WORKERS": "2",
                # The real stores have sessions of their own making only.
                "LFS_S3_ENDPOINT": f"http://{HOST}:{port.getHost().port}",
                "AWS_SESSION_TOKEN": SESSION,
                "LFS_HTTP_API_KEYS_FILE": str(self.keys),
            },
        )
        wrong = self.proxy(
            "wrong",
            {
                **self.kafka.environment("SASL", "PLAIN"),
                "LFS_KAFKA_SASL_PASSWORD": WRONG_PASSWORD,
                "AWS_SECRET_ACCESS_KEY": WRONG_S3_KEY,
                "AWS_SESSION_TOKEN": SESSION,
            },
        )
        refused = self.proxy(
            "refused",
            {**self.kafka.with_token(self.tokens.url()), "LFS_KAFKA_OAUTH_CLIENT_SECRET": WRONG_CLIENT},
        )
        proxies = {"door": door, "fetched": fetched, "wrong": wrong, "refused": refused}
        until = {"wrong": "refuses the proxy's sign-in", "refused": "refuses the client"}

        def start(name: str) -> None:
            told = until.get(name)
            try:
                proxies[name].start(
                    until=(lambda: told in str(proxies[name].readiness())) if told else None, timeout=60
                )
            except DevstackError as error:
                raise AssertionError(f"{name}: {proxies[name].readiness()} {error}") from None

        await gatherResults([in_thread(start, name) for name in proxies], consumeErrors=True)
        await in_thread(self.produce, door)
        await gatherResults(
            [
                in_thread(self.by_http, door, "https", self.topic),
                in_thread(self.by_http, fetched, "http", self.other),
            ],
            consumeErrors=True,
        )
        commands = Commands(
            {**self.environment, **self.kafka.environment("SASLTLS", "SCRAM-SHA-512")},
            {**self.environment, **self.kafka.with_token(self.tokens.url())},
            self.folder,
            self.topic,
            self.other,
            fetched.http,
            door.bootstrap,
        )
        wrongly = commands.wrong(self.wrong_key, WRONG_PASSWORD, WRONG_S3_KEY, WRONG_CLIENT, IN_A_URL)
        right = commands.right(self.keys, self.key)
        await gatherResults([in_thread(self.run_all, each) for each in (right, wrongly)])
        await in_thread(self.sign_in_without_a_password)
        for name, proxy in proxies.items():
            self.spoken.said[f"/readyz of {name}"] = str(await in_thread(proxy.readiness))
            self.spoken.said[f"/metrics of {name}"] = str(dict(await in_thread(proxy.metrics)))
        await gatherResults([in_thread(proxy.stop) for proxy in proxies.values()])
        for name, proxy in proxies.items():
            self.spoken.said[f"the log of {name}"] = proxy.log
        self.spoken.said["what systemd was told"] = "\n".join(self.notify.lines)
        self.spoken.said["the spans"] = "\n".join(map(str, self.collector.requests))
        for number, each in enumerate(self.tokens.issued):
            self.spoken.secrets[f"token {number}"] = each.rpartition(".")[2]
        self.assertEqual(leaks(self.spoken.secrets, self.spoken.said), [])
        self.assertEqual(self.unexpected, [])
        self.check_that_all_was_said()

    def sign_in_without_a_password(self) -> None:
        """As far as it goes with brokers that have no such mechanism."""
        for mechanism, said in (("AWS_MSK_IAM", "does not offer AWS_MSK_IAM"), ("GSSAPI", "GSSAPI")):
            signing = {
                **self.kafka.environment("SASLTLS", "PLAIN"),
                "LFS_KAFKA_SASL_MECHANISM": mechanism,
                "AWS_SESSION_TOKEN": SESSION,
                "AWS_REGION": "eu-west-1",
            }
            done = self.run_command(
                "check", variables={**self.environment, **signing}, name=f"check by {mechanism}"
            )
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stdout, rf"FAILED   Kafka .*: sign-in .*{said}")

    def produce(self, proxy: ProxyProcess) -> None:
        """Clients that sign in by themselves, by each mechanism and with a wrong password."""
        for mechanism in ("PLAIN", "SCRAM-SHA-512"):
            signed = of_librdkafka(self.kafka, "SASL_SSL", mechanism)
            (sent,) = librdkafka(proxy.bootstrap, self.topic, [lfs(b"by Kafka")], Mode(), **signed)
            self.assertEqual(sent.error, "")
        signed = of_kafka_python(self.kafka, "SASL_SSL", "OAUTHBEARER")
        signed["sasl_oauth_token_provider"] = TokenProvider(lambda: self.token)
        (sent,) = kafka_python(proxy.bootstrap, self.topic, [lfs(b"by Kafka")], Mode(), **signed)
        self.assertEqual(sent.error, "")
        context = ssl.create_default_context(cafile=str(self.kafka.authority.file))
        wrong = b"\0alice\0" + WRONG_PASSWORD.encode()
        for frames in (
            [handshake(1), authenticate(2, wrong)],
            [authenticate(1, wrong)],
            [b"\0\0\0\x40" + wrong],
        ):
            with RawClient(proxy.bootstrap) as client:
                client.socket = context.wrap_socket(client.socket, server_hostname=HOST)
                client.send(*frames)
                client.answer()
        with RawClient(proxy.bootstrap) as client:
            client.send(wrong * 10)
            client.answer()

    def by_http(self, proxy: ProxyProcess, scheme: str, topic: str) -> None:
        """Uploads, resumable ones, downloads and redirects, and requests that are refused."""
        base = f"/v1/topics/{topic}"
        bearer = {"Authorization": f"Bearer {self.key}"}
        tus = {**TUS, **bearer}

        def ask(
            method: str, path: str, headers: Mapping[str, str] = {}, body: bytes | None = None
        ) -> tuple[int, http.client.HTTPMessage]:
            connection = self.connection(proxy, scheme)
            with contextlib.closing(connection):
                connection.request(method, path, body, dict(headers))
                answer = connection.getresponse()
                self.spoken.said[f"{method} {path} of {scheme}"] = answer.read().decode("latin-1")
                return answer.status, answer.headers

        status, answered = ask("POST", f"{base}/records?partition=0", bearer, b"by HTTP")
        self.assertEqual(status, 201)
        record = answered["Location"]
        status, answered = ask("POST", f"{base}/uploads", {**tus, "Upload-Length": "6"})
        self.assertEqual(status, 201)
        path = urlsplit(answered["Location"]).path
        self.assertEqual(ask("PATCH", path, {**tus, "Upload-Offset": "0"}, b"by tus")[0], 204)
        self.assertEqual(ask("DELETE", path, tus)[0], 204)
        self.assertEqual(ask("GET", record, bearer)[0], 200)
        self.assertEqual(ask("GET", f"{record}/envelope", bearer)[0], 200)
        status, answered = ask("GET", f"{record}?presign=true", bearer)
        self.assertEqual(status, 307)
        [signature] = parse_qs(urlsplit(answered["Location"]).query)["X-Amz-Signature"]
        self.spoken.secrets[f"the signature of a URL of {scheme}"] = signature
        wrong = f"Bearer {self.wrong_key}"
        for authorization in (wrong, self.wrong_key, f"Basic {self.wrong_key}", f"{wrong}\t{self.wrong_key}"):
            self.assertEqual(ask("POST", f"{base}/records", {"Authorization": authorization}, b"x")[0], 401)
        self.assertEqual(ask("GET", f"{record}?access_token={self.key}")[0], 401)
        self.assertEqual(ask("GET", f"{record}?api_key={self.key}", bearer)[0], 400)
        for path in ("/", "/docs", "/openapi.json", "/nowhere"):
            ask("GET", path, bearer)
        for broken in (f"Authorization {wrong}", f"Authorization : {wrong}", f"X:\x00{wrong}", f" {wrong}"):
            connection = self.connection(proxy, scheme)
            with contextlib.closing(connection):
                connection.connect()
                connection.sock.sendall(f"GET / HTTP/1.1\r\nHost: a\r\n{broken}\r\n\r\n".encode())
                self.spoken.said[f"{broken[:15]!r} of {scheme}"] = connection.sock.recv(65536).decode(
                    "latin-1"
                )

    def connection(self, proxy: ProxyProcess, scheme: str) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(HOST, proxy.http_port, timeout=30)
        context = ssl.create_default_context(cafile=str(self.kafka.authority.file))
        return http.client.HTTPSConnection(HOST, proxy.http_port, timeout=30, context=context)

    def run_all(self, commands: Iterable[Command]) -> None:
        for each in commands:
            done = self.run_command(*each.arguments, name=each.name, variables=each.variables)
            if done.returncode != each.status:
                self.unexpected.append((each.name, done.returncode, done.stdout[-1000:], done.stderr[-1000:]))

    def check_that_all_was_said(self) -> None:
        """What was searched is what it should be: nothing is found in silence, either."""
        said = self.spoken.said
        for where, pattern in {
            "the log of door": r'"level": "debug"',
            "the log of fetched": f"LFS_KAFKA_OAUTH_CLIENT_ID is '{CLIENT}'",
            "the log of wrong": r"refuses the proxy's sign-in",
            "the log of refused": r"refuses the client",
            "what systemd was told": r"STATUS=",
            "the spans": r"lfs\.|http\.route",
            "consume, wrong password, standard error": r"Traceback",
            "upload, wrong key, standard error": r"Traceback",
            "check, wrong S3 key, standard output": r"FAILED",
        }.items():
            self.assertTrue(re.search(pattern, said[where]), (where, said[where][-2000:]))
        self.assertGreater(len(self.tokens.issued), 2)
        signed = [request.headers.get("x-amz-security-token") for request in self.fake.requests]
        self.assertEqual(set(signed), {SESSION})
