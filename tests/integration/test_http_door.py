"""Uploads over HTTP against a real Kafka and a real S3 server, by curl, treq and raw sockets."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import struct
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import attrs
import treq
from twisted.web.client import FileBodyProducer

from tests.integration.http_door import (
    MIB,
    SIZE,
    HttpDoorTests,
    keys_below,
    read_records,
    start_door,
    until,
)
from tests.integration.stack import in_thread, own_kafka, own_s3


class CurlTests(HttpDoorTests):
    async def uploaded(self, *arguments: str, query: str = "") -> tuple[Any, str]:
        status, answer, log = await self.curl(*arguments, query=query)
        self.assertEqual(status, 201, answer)
        return answer, log

    async def test_a_form(self) -> None:
        path, checksum = self.file()
        answer, _ = await self.uploaded(
            "-F", "key=k", "-F", "header=a:b", "-F", "timestamp=1700000000001",
            "-F", f"checksum={checksum}", "-F", f"file=@{path};filename=büro.bin;type=image/png",
        )  # fmt: skip
        record = await self.assertPublished(answer, checksum)
        self.assertEqual((record.key, record.timestamp), (b"k", 1700000000001))
        self.assertEqual(record.headers, [("a", b"b"), ("lfs-filename", "büro.bin".encode())])
        self.assertEqual(answer["envelope"]["content_type"], "image/png")

    async def test_raw_bytes_in_chunks(self) -> None:
        path, checksum = self.file()
        answer, _ = await self.uploaded(
            "-T", path, "-X", "POST", "-H", "Transfer-Encoding: chunked", query="partition=2"
        )
        record = await self.assertPublished(answer, checksum)
        self.assertEqual((record.partition, record.key), (2, None))

    async def test_raw_bytes_that_wait_to_be_told(self) -> None:
        path, checksum = self.file()
        answer, log = await self.uploaded("-T", path, "-X", "POST", "-H", "Expect: 100-continue")
        self.assertIn("100 Continue", log)
        await self.assertPublished(answer, checksum)

    async def test_raw_bytes_of_http_1_0(self) -> None:
        path, checksum = self.file(5 * MIB)
        answer, _ = await self.uploaded("-0", "--data-binary", f"@{path}", "-H", "Content-Type: x/test")
        await self.assertPublished(answer, checksum)

    async def test_raw_bytes_with_the_content_type_that_curl_gives_them(self) -> None:
        path, checksum = self.file(5 * MIB)
        answer, _ = await self.uploaded("--data-binary", f"@{path}")
        await self.assertPublished(answer, checksum, object_type="application/octet-stream")
        self.assertEqual(answer["envelope"]["content_type"], "application/x-www-form-urlencoded")

    async def test_an_empty_file(self) -> None:
        path, checksum = self.file(0)
        answer, _ = await self.uploaded("-F", f"file=@{path}")
        await self.assertPublished(answer, checksum)

    async def test_too_large_is_told_before_the_body_is_sent(self) -> None:
        self.door = await start_door(self, self.servers, LFS_MAX_UPLOAD_SIZE="1000000")
        path, _ = self.file()
        for expect in ("Expect:", "Expect: 100-continue"):
            status, answer, log = await self.curl("-T", path, "-X", "POST", "-H", expect)
            self.assertEqual((status, answer["type"]), (413, "/problems/too-large"))
            self.assertNotIn("100 Continue", log)
        await self.assertNothing()

    async def test_a_wrong_checksum(self) -> None:
        path, checksum = self.file()
        status, answer, _ = await self.curl("-F", f"checksum={'0' * 64}", "-F", f"file=@{path}")
        self.assertEqual((status, answer["actual"]), (400, checksum))
        await self.assertNothing()

    async def test_a_topic_that_does_not_exist_is_created_where_the_broker_does_so(self) -> None:
        self.topic += "-unheard-of"
        path, checksum = self.file(1000)
        answer, _ = await self.uploaded("-F", f"file=@{path}")
        await self.assertPublished(answer, checksum)

    async def test_a_topic_that_does_not_exist_is_404_where_the_broker_creates_none(self) -> None:
        kafka = await own_kafka(self, config={"auto.create.topics.enable": "false"})
        self.door = await start_door(self, attrs.evolve(self.servers, kafka=kafka))
        status, answer, _ = await self.curl("-F", "file=abc")
        self.assertEqual((status, answer["type"]), (404, "/problems/unknown-topic"))
        self.assertEqual(await in_thread(keys_below, self.servers, self.topic), [])

    async def test_what_is_asked_wrongly_publishes_nothing(self) -> None:
        path, _ = self.file(9 * MIB)
        file, raw = f"file=@{path}", ("--data-binary", f"@{path}")
        wrong: list[tuple[str, Sequence[str]]] = [
            ("", ("-F", file, "-F", "key=k")),
            ("", ("-F", file, "-F", file)),
            ("", ("-F", "key=k")),
            ("", ("-F", "colour=red", "-F", file)),
            ("colour=red", ("-F", file)),
            ("key=k", ("-F", "key=k", "-F", file)),
            ("key=k&key_base64=aw==", ("-F", file)),
            ("partition=3", ("-F", file)),
            ("partition=3", raw),
            ("timestamp=yesterday", raw),
            ("header=nonsense", raw),
            ("checksum=00", raw),
            ("checksum_algo=sha1", raw),
            ("", (*raw, "-H", "Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==")),
            ("", (*raw, "-H", "Content-Digest: sha-256=nonsense")),
            ("", (*raw, "-H", "Content-Type: multipart/form-data")),
            ("", (*raw, "-H", "Content-Type: multipart/form-data; boundary=b")),
        ]
        for query, arguments in wrong:
            status, answer, _ = await self.curl(*arguments, query=query)
            self.assertEqual(status, 400, (query, arguments, answer))
        status, answer, _ = await self.curl("-F", file, topic="a" * 250)
        self.assertEqual(status, 400, answer)
        await self.assertNothing()


class TreqTests(HttpDoorTests):
    async def test_many_uploads_at_once(self) -> None:
        bodies = [hashlib.sha256(b"%d" % number).digest() * 40_000 for number in range(12)]
        answers = [treq.post(self.door.url(self.topic), data=body, persistent=False) for body in bodies]
        envelopes = []
        for answer in answers:
            response = await answer
            self.assertEqual(response.code, 201)
            envelopes.append((await response.json())["envelope"])
        records = await in_thread(read_records, self.servers, self.topic)
        published = sorted(json.loads(record.value)["checksum"] for record in records)
        self.assertEqual(published, sorted(envelope["checksum"] for envelope in envelopes))
        self.assertEqual(published, sorted(hashlib.sha256(body).hexdigest() for body in bodies))

    async def test_a_form(self) -> None:
        body = bytes(range(256)) * 40_000
        response = await treq.post(
            self.door.url(self.topic),
            data=[("key", "k")],
            files=[("file", ("f.bin", "application/x-test", FileBodyProducer(BytesIO(body))))],
            persistent=False,
        )
        answer = await response.json()
        self.assertEqual(response.code, 201, answer)
        record = await self.assertPublished(answer, hashlib.sha256(body).hexdigest())
        self.assertEqual(record.key, b"k")

    async def test_ready(self) -> None:
        self.door.readiness.start()
        await until(lambda: not self.door.readiness.problems())
        response = await treq.get(f"http://127.0.0.1:{self.door.port}/readyz", persistent=False)
        self.assertEqual((response.code, await response.json()), (200, {"status": "ready"}))


class BrokenClientTests(HttpDoorTests):
    """Clients that do not finish, and servers that go away."""

    async def send(self, head: str, sent: int) -> socket.socket:
        """Begin an upload on a raw socket: a head, and the first ``sent`` bytes of its body."""
        wire = f"POST /v1/topics/{self.topic}/records HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode()

        def begin() -> socket.socket:
            client = socket.create_connection(("127.0.0.1", self.door.port), timeout=30)
            client.sendall(wire)
            for _ in range(sent // MIB):
                client.sendall(bytes(MIB))
            return client

        return await in_thread(begin)

    def results(self) -> list[object]:
        return [call[2] for call in self.door.metrics.of("upload")]

    async def test_a_client_that_dies_half_way_leaves_nothing(self) -> None:
        client = await self.send(f"Content-Length: {SIZE}", SIZE // 2)
        await until(lambda: self.door.metrics.of("s3_operation") != [])
        client.close()
        await until(lambda: not self.door.site.in_flight)
        await self.assertNothing()
        self.assertEqual(self.results(), ["cancelled"])

    async def test_a_client_that_is_reset_half_way_leaves_nothing(self) -> None:
        client = await self.send(f"Content-Length: {SIZE}", SIZE // 2)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await until(lambda: self.results() == ["cancelled"] and not self.door.site.in_flight)
        await self.assertNothing()

    async def test_a_chunked_body_without_its_end_leaves_nothing(self) -> None:
        client = await self.send(f"Transfer-Encoding: chunked\r\n\r\n{SIZE:x}", 16 * MIB)
        client.close()
        await until(lambda: self.results() == ["cancelled"] and not self.door.site.in_flight)
        await self.assertNothing()

    async def test_a_silent_client_is_told_and_leaves_nothing(self) -> None:
        self.door = await start_door(self, self.servers, LFS_STALL_TIMEOUT="1")
        client = await self.send(f"Content-Length: {SIZE}", SIZE // 2)
        answer = await in_thread(client.recv, 65536)
        self.assertIn(b"HTTP/1.1 408 ", answer)
        client.close()
        await until(lambda: not self.door.site.in_flight)
        await self.assertNothing()

    async def test_a_store_that_dies_half_way_is_a_503(self) -> None:
        s3 = await own_s3(self)
        servers = attrs.evolve(self.servers, s3=s3)
        self.door = await start_door(self, servers, LFS_S3_RETRY_TIMEOUT="2")
        client = await self.send(f"Content-Length: {SIZE}", SIZE // 2)
        await until(lambda: self.door.metrics.of("s3_operation") != [])
        await in_thread(s3.kill)

        def finish() -> bytes:
            # The door may stop reading when it has answered; the answer can be read all the same.
            with contextlib.suppress(OSError):
                client.sendall(bytes(SIZE // 2))
            return client.recv(65536)

        answer = await in_thread(finish)
        client.close()
        self.assertIn(b"HTTP/1.1 503 ", answer)
        self.assertIn(b"Retry-After: ", answer)
        self.assertIn(b"/problems/store-unavailable", answer)
        self.assertEqual(await in_thread(read_records, self.servers, self.topic), [])
        await until(lambda: not self.door.site.in_flight)
        self.assertEqual(self.door.budget.used, 0)

    async def test_a_kafka_that_is_away_is_a_503(self) -> None:
        kafka = await own_kafka(self)
        self.door = await start_door(self, attrs.evolve(self.servers, kafka=kafka))
        await in_thread(kafka.kill)
        client = await self.send("Content-Length: 1\r\n\r\nx", 0)
        answer = await in_thread(client.recv, 65536)
        client.close()
        self.assertIn(b"HTTP/1.1 503 ", answer)
        self.assertIn(b"/problems/broker-unavailable", answer)
        self.assertEqual(await in_thread(keys_below, self.servers, self.topic), [])
