"""Resumable uploads through the HTTP door, with doubles of the store and of Kafka behind it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.errors import BrokerUnavailable, OutcomeUnknown, StoreUnavailable
from lfsproxy.resumable.uploads import ResumableUploads
from lfsproxy.testing_resumable import MemoryResumableStore
from lfsproxy.web.site import make_site
from tests.web.doubles import Answer, Client, Door, request

PART = 1000
EXPIRY = 3600.0
OFFSET = "Content-Type: application/offset+octet-stream"
TUS = "Tus-Resumable: 1.0.0"


def encode(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def metadata(**fields: str) -> str:
    return "Upload-Metadata: " + ",".join(f"{name} {encode(value)}" for name, value in fields.items())


class TusDoor(Door):
    """A door with resumable uploads; ``replica`` is another one with the same store and cluster."""

    def __init__(self, of: TusDoor | None = None, part: int = PART, **settings: Any) -> None:
        super().__init__(**settings)
        self.uploads_store = MemoryResumableStore(self.clock, part_size=part)
        if of is not None:
            self.clock, self.publisher, self.uploads_store = of.clock, of.publisher, of.uploads_store
        claims = ClaimCheck(self.store, self.metrics, self.clock, max_size=self.settings.max_upload_size)
        self.uploads = ResumableUploads(self.uploads_store, claims, self.publisher, self.budget, EXPIRY)
        self.site = make_site(
            self.clock,
            self.settings,
            claims,
            self.publisher,
            self.budget,
            self.metrics,
            self.readiness,
            self.uploads,
        )

    def replica(self) -> TusDoor:
        return TusDoor(of=self)

    @property
    def blobs(self) -> list[bytes]:
        return [blob.data for blob in self.uploads_store.blobs.values()]

    def create(self, *headers: str, body: bytes | None = None) -> Answer:
        wire = request("POST", "/v1/topics/t/uploads", b"" if body is None else body, [TUS, *headers])
        return self.ask(wire)

    def new(self, length: int, *headers: str) -> str:
        """The path of a new upload."""
        answer = self.create(f"Upload-Length: {length}", *headers)
        assert answer.status == 201, answer
        return answer.headers["location"]

    def patch(self, path: str, offset: int, data: bytes, *headers: str) -> Answer:
        return self.ask(patch(path, offset, data, *headers))

    def head(self, path: str) -> Answer:
        return self.ask(request("HEAD", path, None, [TUS]))

    def delete(self, path: str) -> Answer:
        return self.ask(request("DELETE", path, None, [TUS]))

    def offset(self, path: str) -> int:
        return int(self.head(path).headers["upload-offset"])


def patch(path: str, offset: int, data: bytes, *headers: str) -> bytes:
    return request("PATCH", path, data, [TUS, OFFSET, f"Upload-Offset: {offset}", *headers])


def cut(path: str, offset: int, data: bytes, announced: int) -> bytes:
    """A PATCH that announces more than it brings."""
    head = request(
        "PATCH", path, None, [TUS, OFFSET, f"Upload-Offset: {offset}", f"Content-Length: {announced}"]
    )
    return head + data


DATA = bytes(range(256)) * 20


class TusTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = TusDoor()

    def assertPublished(self, data: bytes, answer: Answer) -> dict[str, Any]:
        """One record, with the envelope of exactly these bytes; its fields."""
        (record,) = self.door.publisher.records
        envelope: dict[str, Any] = json.loads(record.value)
        self.assertEqual(
            answer.headers["lfs-record"],
            f"/v1/topics/t/partitions/{record.partition}/records/{record.offset}",
        )
        self.assertEqual(self.door.uploads_store.blobs[envelope["s3_key"]].data, data)
        self.assertEqual(envelope["content_length"], len(data))
        algorithm = envelope["checksum_algo"]
        self.assertEqual(envelope["checksum"], hashlib.new(algorithm, data).hexdigest())
        self.assertEqual(self.door.uploads_store.uploads, {})
        self.assertEqual(self.door.budget.used, 0)
        return envelope

    def assertNothingLeft(self) -> None:
        store = self.door.uploads_store
        self.assertEqual((store.objects, store.uploads, store.blobs), ({}, {}, {}))


class CreationTests(TusTests):
    def test_options_say_what_is_offered(self) -> None:
        self.door = TusDoor(max_upload_size=5000)
        for path in ("/v1/topics/t/uploads", "/v1/topics/t/uploads/" + "0" * 32):
            answer = self.door.ask(request("OPTIONS", path, None))
            self.assertEqual(answer.status, 204)
            self.assertEqual(answer.headers["tus-version"], "1.0.0")
            self.assertIn("creation-defer-length", answer.headers["tus-extension"])
            self.assertEqual(answer.headers["tus-checksum-algorithm"], "sha1,sha256,md5")
            self.assertEqual(answer.headers["tus-max-size"], "5000")

    def test_a_page_may_send_and_read_what_tus_needs(self) -> None:
        asked = ["Origin: https://a.example", "Access-Control-Request-Method: PATCH"]
        answer = self.door.ask(request("OPTIONS", "/v1/topics/t/uploads/x", None, asked))
        for name in ("Tus-Resumable", "Upload-Offset", "Upload-Checksum", "X-HTTP-Method-Override"):
            self.assertIn(name, answer.headers["access-control-allow-headers"])
        self.assertIn("PATCH", answer.headers["access-control-allow-methods"])
        self.assertIn("Upload-Offset", answer.headers["access-control-expose-headers"])

    def test_another_version_is_412_with_ours(self) -> None:
        for headers in ([], ["Tus-Resumable: 0.2.2"]):
            answer = self.door.ask(
                request("POST", "/v1/topics/t/uploads", b"", [*headers, "Upload-Length: 1"])
            )
            self.assertEqual((answer.status, answer.headers["tus-version"]), (412, "1.0.0"))

    def test_creation_needs_a_length_or_its_promise(self) -> None:
        for headers in (
            [],
            ["Upload-Length: -1"],
            ["Upload-Length: 1", "Upload-Defer-Length: 1"],
            ["Upload-Defer-Length: 2"],
            ["Upload-Length: 1", "Upload-Concat: partial"],
        ):
            self.assertEqual(self.door.create(*headers).status, 400, headers)
        self.assertNothingLeft()

    def test_too_long_is_413(self) -> None:
        self.door = TusDoor(max_upload_size=5000)
        answer = self.door.create("Upload-Length: 5001")
        self.assertEqual((answer.status, answer.json["type"]), (413, "/problems/too-large"))

    def test_an_unknown_topic_is_404(self) -> None:
        answer = self.door.ask(request("POST", "/v1/topics/none/uploads", b"", [TUS, "Upload-Length: 1"]))
        self.assertEqual((answer.status, answer.json["type"]), (404, "/problems/unknown-topic"))

    def test_bad_metadata_is_400(self) -> None:
        for text in (
            "key ***",
            "strange YQ==",
            "key YQ==,key YQ==",
            "filetype YQ==,content_type YQ==",
            ",",
            "partition YQ==",
        ):
            self.assertEqual(
                self.door.create("Upload-Length: 1", f"Upload-Metadata: {text}").status, 400, text
            )
        self.assertNothingLeft()

    def test_metadata_become_the_record(self) -> None:
        fields = metadata(
            key="k",
            filename="ü.bin",
            filetype="image/png",
            header="a:1\nb:2",
            timestamp="12",
            checksum_algo="md5",
        )
        path = self.door.new(4, fields)
        self.assertEqual(self.door.head(path).headers["upload-metadata"], fields.partition(": ")[2])
        answer = self.door.patch(path, 0, b"data")
        envelope = self.assertPublished(b"data", answer)
        self.assertEqual((envelope["content_type"], envelope["checksum_algo"]), ("image/png", "md5"))
        (record,) = self.door.publisher.records
        self.assertEqual((record.key, record.timestamp), (b"k", 12))
        self.assertEqual(record.headers, ((b"a", b"1"), (b"b", b"2"), (b"lfs-filename", "ü.bin".encode())))

    def test_an_empty_upload_is_published_at_once(self) -> None:
        answer = self.door.create("Upload-Length: 0")
        self.assertEqual(answer.status, 201)
        self.assertPublished(b"", answer)

    def test_creation_with_all_bytes_publishes(self) -> None:
        answer = self.door.create(f"Upload-Length: {len(DATA)}", OFFSET, body=DATA)
        self.assertEqual((answer.status, answer.headers["upload-offset"]), (201, str(len(DATA))))
        self.assertPublished(DATA, answer)

    def test_creation_with_some_bytes_goes_on(self) -> None:
        answer = self.door.create(f"Upload-Length: {len(DATA)}", OFFSET, body=DATA[:1500])
        self.assertEqual((answer.status, answer.headers["upload-offset"]), (201, "1500"))
        self.assertPublished(DATA, self.door.patch(answer.headers["location"], 1500, DATA[1500:]))

    def test_creation_with_bytes_of_another_type_is_415(self) -> None:
        answer = self.door.create("Upload-Length: 4", body=b"data")
        self.assertEqual(answer.status, 415)
        self.assertNothingLeft()

    def test_a_store_without_conditional_writes_has_no_uploads(self) -> None:
        self.door.uploads_store.conditional = False
        answer = self.door.create("Upload-Length: 1")
        self.assertEqual((answer.status, answer.json["type"]), (501, "/problems/resumable-uploads-off"))


class PatchTests(TusTests):
    def test_pieces_of_any_size_become_one_blob(self) -> None:
        for size in (1, 7, 999, 1000, 1001, 2500, len(DATA)):
            self.door = TusDoor()
            data = DATA if size > 7 else DATA[: 30 * size]
            path = self.door.new(len(data))
            for start in range(0, len(data), size):
                piece = data[start : start + size]
                answer = self.door.patch(path, start, piece)
                self.assertEqual(
                    (answer.status, answer.headers["upload-offset"]), (204, str(start + len(piece)))
                )
            self.assertPublished(data, answer)

    def test_each_piece_may_go_through_another_replica(self) -> None:
        path = self.door.new(len(DATA), metadata(checksum=hashlib.sha256(DATA).hexdigest()))
        for start in range(0, len(DATA), 700):
            answer = self.door.replica().patch(path, start, DATA[start : start + 700])
            self.assertEqual(answer.status, 204, answer)
        self.assertPublished(DATA, answer)

    def test_the_head_of_an_upload_says_where_to_go_on(self) -> None:
        path = self.door.new(len(DATA))
        self.door.patch(path, 0, DATA[:1700])
        answer = self.door.head(path)
        self.assertEqual((answer.status, answer.body), (200, b""))
        said = {name: answer.headers[name] for name in ("upload-offset", "upload-length", "cache-control")}
        self.assertEqual(
            said, {"upload-offset": "1700", "upload-length": str(len(DATA)), "cache-control": "no-store"}
        )
        self.assertIn("upload-expires", answer.headers)

    def test_the_wrong_offset_is_409(self) -> None:
        path = self.door.new(10)
        self.door.patch(path, 0, b"1234")
        for offset in (0, 3, 5):
            self.assertEqual(self.door.patch(path, offset, b"x").status, 409)
        self.assertEqual(self.door.offset(path), 4)

    def test_another_content_type_is_415_and_no_offset_400(self) -> None:
        path = self.door.new(10)
        answer = self.door.ask(request("PATCH", path, b"x", [TUS, "Upload-Offset: 0"]))
        self.assertEqual(answer.status, 415)
        self.assertEqual(self.door.ask(request("PATCH", path, b"x", [TUS, OFFSET])).status, 400)

    def test_more_than_the_length_is_refused(self) -> None:
        path = self.door.new(10)
        self.assertEqual(self.door.patch(path, 0, b"x" * 11).status, 400)
        chunks = b"5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n"
        wire = request("PATCH", path, None, [TUS, OFFSET, "Upload-Offset: 0", "Transfer-Encoding: chunked"])
        self.assertEqual(self.door.ask(wire + chunks).status, 413)
        self.assertEqual(self.door.publisher.records, [])

    def test_the_length_may_come_later(self) -> None:
        answer = self.door.create("Upload-Defer-Length: 1")
        path = answer.headers["location"]
        self.assertEqual(self.door.head(path).headers["upload-defer-length"], "1")
        self.assertEqual(self.door.patch(path, 0, DATA[:1200]).status, 204)
        self.assertEqual(self.door.patch(path, 1200, b"", f"Upload-Length: {len(DATA)}").status, 204)
        self.assertEqual(self.door.head(path).headers["upload-length"], str(len(DATA)))
        self.assertEqual(self.door.patch(path, 1200, b"", "Upload-Length: 9000").status, 400)
        self.assertPublished(DATA, self.door.patch(path, 1200, DATA[1200:]))

    def test_a_checksum_that_is_right_counts(self) -> None:
        path = self.door.new(len(DATA))
        for name, start in (("sha1", 0), ("md5", 1500), ("sha256", 3000)):
            piece = DATA[start : start + 1500] if start < 3000 else DATA[start:]
            digest = encode(hashlib.new(name, piece).digest())
            answer = self.door.patch(path, start, piece, f"Upload-Checksum: {name} {digest}")
            self.assertEqual(answer.status, 204)
        self.assertPublished(DATA, answer)

    def test_bytes_with_a_wrong_checksum_are_dropped(self) -> None:
        path = self.door.new(len(DATA))
        self.door.patch(path, 0, DATA[:500])
        wrong = encode(hashlib.sha1(b"other").digest())
        answer = self.door.patch(path, 500, b"\0" * 4000, f"Upload-Checksum: sha1 {wrong}")
        self.assertEqual((answer.status, self.door.offset(path)), (460, 500))
        self.assertPublished(DATA, self.door.patch(path, 500, DATA[500:]))

    def test_a_checksum_that_cannot_be_used_is_400(self) -> None:
        path = self.door.new(10)
        for text in ("crc32 AAAAAA==", "sha1 ***", "sha1 AAAA", "sha1"):
            self.assertEqual(self.door.patch(path, 0, b"x", f"Upload-Checksum: {text}").status, 400, text)

    def test_the_wrong_checksum_of_the_whole_publishes_nothing(self) -> None:
        for size in (500, len(DATA)):
            self.door = TusDoor()
            path = self.door.new(size, metadata(checksum=hashlib.sha256(b"other").hexdigest()))
            answer = self.door.patch(path, 0, DATA[:size])
            self.assertEqual((answer.status, answer.json["type"]), (400, "/problems/checksum-mismatch"))
            self.assertEqual(self.door.publisher.records, [])
            self.assertNothingLeft()
            self.assertEqual(self.door.head(path).status, 404)

    def test_the_method_can_be_overridden(self) -> None:
        path = self.door.new(4)
        overridden = ["X-HTTP-Method-Override: PATCH", TUS, OFFSET, "Upload-Offset: 0"]
        self.assertPublished(b"data", self.door.ask(request("POST", path, b"data", overridden)))
        self.assertEqual(self.door.ask(request("POST", path, b"", [TUS])).status, 405)


class InterruptionTests(TusTests):
    def test_what_came_of_a_cut_request_is_kept(self) -> None:
        path = self.door.new(len(DATA))
        client = self.door.client()
        client.send(cut(path, 0, DATA[:2300], len(DATA)))
        client.leave()
        self.assertEqual(self.door.offset(path), 2300)
        self.assertPublished(DATA, self.door.patch(path, 2300, DATA[2300:]))

    def test_nothing_of_a_cut_request_with_a_checksum_is_kept(self) -> None:
        path = self.door.new(len(DATA))
        client = self.door.client()
        digest = encode(hashlib.sha1(DATA).digest())
        wire = cut(path, 0, DATA[:2300], len(DATA)).replace(
            b"\r\n\r\n", b"\r\nUpload-Checksum: sha1 %s\r\n\r\n" % digest.encode(), 1
        )
        client.send(wire)
        client.leave()
        self.assertEqual(self.door.offset(path), 0)
        self.assertPublished(DATA, self.door.patch(path, 0, DATA))

    def test_a_process_that_dies_costs_a_few_parts_at_most(self) -> None:
        path = self.door.new(len(DATA))
        dead = self.door.replica()
        client = dead.client()
        for start in range(0, 5000, 500):
            client.send(cut(path, 0, DATA[:500], len(DATA)) if not start else DATA[start : start + 500])
        self.assertEqual(self.door.offset(path), 4000)
        self.assertPublished(DATA, self.door.patch(path, 4000, DATA[4000:]))
        # The dead one wakes up: it has nothing to say any more.
        client.send(DATA[5000:])
        self.assertEqual(client.answer().status, 502)
        self.assertEqual(len(self.door.publisher.records), 1)

    def test_of_two_requests_at_once_the_second_is_423(self) -> None:
        path = self.door.new(len(DATA))
        client = self.door.client()
        client.send(cut(path, 0, DATA[:1000], len(DATA)))
        self.assertEqual(self.door.patch(path, 0, DATA).status, 423)
        self.assertEqual(self.door.delete(path).status, 423)
        client.send(DATA[1000:])
        self.assertPublished(DATA, client.answer())

    def test_of_two_replicas_at_once_one_is_told_to_ask_again(self) -> None:
        path = self.door.new(len(DATA))
        self.door.patch(path, 0, DATA[:1500])
        other = self.door.replica()
        first, second = self.door.client(), other.client()
        first.send(cut(path, 1500, DATA[1500:2500], 1500))
        second.send(cut(path, 1500, b"\0" * 1000, 1500))
        first.send(DATA[2500:3000])
        self.assertEqual(first.answer().status, 204)
        second.send(b"\0" * 500)
        answer = second.answer()
        self.assertEqual((answer.status, answer.json["type"]), (409, "/problems/upload-moved"))
        answer = self.door.patch(path, 3000, DATA[3000:])
        # What the second wrote over the first's parts is never taken for them.
        self.assertEqual(answer.status, 502)
        self.assertEqual(self.door.publisher.records, [])

    def test_a_stalled_client_is_cut_and_its_bytes_are_kept(self) -> None:
        path = self.door.new(len(DATA))
        client = self.door.client()
        client.send(cut(path, 0, DATA[:1300], len(DATA)))
        self.door.clock.advance(self.door.settings.stall_timeout + 1)
        self.assertEqual(client.answer().status, 408)
        self.assertEqual(self.door.offset(path), 1300)

    def test_draining_takes_no_new_bytes(self) -> None:
        path = self.door.new(10)
        self.door.readiness.drain()
        answer = self.door.patch(path, 0, b"x")
        self.assertEqual((answer.status, "retry-after" in answer.headers), (503, True))
        self.assertEqual(self.door.create("Upload-Length: 1").status, 503)

    def test_trouble_with_the_store_keeps_what_was_stored_before(self) -> None:
        path = self.door.new(len(DATA))
        self.door.patch(path, 0, DATA[:1500])
        self.door.uploads_store.fail_next("put_part", StoreUnavailable("down"))
        self.assertEqual(self.door.patch(path, 1500, DATA[1500:]).status, 503)
        offset = self.door.offset(path)
        self.assertLess(offset, len(DATA))
        self.assertPublished(DATA, self.door.patch(path, offset, DATA[offset:]))

    def test_trouble_with_the_last_bytes_is_no_end(self) -> None:
        for call in ("put_blob", "create_object"):
            self.door = TusDoor()
            path = self.door.new(500)
            self.door.uploads_store.fail_next(call, StoreUnavailable("down"))
            self.assertEqual(self.door.patch(path, 0, DATA[:500]).status, 503)
            self.assertEqual(self.door.offset(path), 0)
            self.assertPublished(DATA[:500], self.door.patch(path, 0, DATA[:500]))


class PublicationTests(TusTests):
    def complete(self, fault: Exception | None = None) -> tuple[str, Answer]:
        path = self.door.new(len(DATA))
        if fault is not None:
            self.door.publisher.fail_next("publish", fault)  # type: ignore[arg-type]
        return path, self.door.patch(path, 0, DATA)

    def test_every_later_head_names_the_record(self) -> None:
        path, answer = self.complete()
        self.assertPublished(DATA, answer)
        self.assertPublished(DATA, self.door.replica().head(path))
        self.assertPublished(DATA, self.door.patch(path, len(DATA), b""))

    def test_only_what_later_heads_need_stays(self) -> None:
        path, _ = self.complete()
        names = sorted(key.rpartition("/")[2] for key in self.door.uploads_store.objects)
        self.assertEqual([name.partition("-")[0] for name in names], ["info", "mark", "publishing", "result"])
        self.assertEqual(self.door.delete(path).status, 204)
        self.assertEqual(self.door.uploads_store.objects, {})
        self.assertEqual(self.door.blobs, [DATA])

    def test_what_was_surely_not_sent_can_be_asked_for_again(self) -> None:
        path, answer = self.complete(BrokerUnavailable("no broker"))
        self.assertEqual(answer.status, 503)
        answer = self.door.head(path)
        self.assertEqual(answer.status, 200)
        self.assertPublished(DATA, answer)

    def test_an_unknown_outcome_that_the_log_proves_is_a_success(self) -> None:
        publish = self.door.publisher.publish

        async def publish_and_lose(*arguments: Any) -> Any:
            await publish(*arguments)
            raise OutcomeUnknown("lost")

        self.patch(self.door.publisher, "publish", publish_and_lose)
        path, answer = self.complete()
        self.assertEqual((answer.status, answer.json["type"]), (504, "/problems/outcome-unknown"))
        self.assertPublished(DATA, self.door.replica().head(path))

    def test_an_unknown_outcome_without_proof_stays_unknown(self) -> None:
        path, answer = self.complete(OutcomeUnknown("lost"))
        self.assertEqual(answer.status, 504)
        client = self.door.client()
        client.send(request("HEAD", path, None, [TUS]))
        self.assertEqual(client.received, b"")
        for _ in range(60):
            self.door.clock.advance(2)
        self.assertEqual(client.answer(head=True).status, 409)
        self.assertEqual(self.door.patch(path, len(DATA), b"").status, 409)
        self.assertEqual(self.door.publisher.records, [])
        self.assertEqual(self.door.metrics.of("orphan"), [("unknown_outcome",)])
        self.assertEqual(self.door.blobs, [DATA])

    def test_two_replicas_that_finish_at_once_publish_once(self) -> None:
        path, _ = self.complete(BrokerUnavailable("no broker"))
        self.door.publisher.hold("publish")
        clients: list[Client] = [self.door.client(), self.door.replica().client()]
        for client in clients:
            client.send(request("HEAD", path, None, [TUS]))
        self.door.publisher.let_go("publish")
        for _ in range(5):
            self.door.clock.advance(2)
        for client in clients:
            self.assertPublished(DATA, client.answer(head=True))

    def test_an_upload_counts_once(self) -> None:
        path, _ = self.complete()
        self.door.head(path)
        self.door.delete(path)
        self.assertEqual(
            [(p, topic, result, size) for p, topic, result, size, _ in self.door.metrics.of("upload")],
            [("tus", "t", "ok", len(DATA))],
        )


class EndTests(TusTests):
    def test_termination_leaves_nothing(self) -> None:
        path = self.door.new(len(DATA))
        self.door.patch(path, 0, DATA[:2500])
        self.assertEqual(self.door.delete(path).status, 204)
        self.assertNothingLeft()
        for answer in (self.door.head(path), self.door.patch(path, 2500, b""), self.door.delete(path)):
            self.assertEqual(answer.status, 404)

    def test_an_upload_of_another_topic_is_404(self) -> None:
        path = self.door.new(10)
        self.assertEqual(self.door.head(path.replace("/t/", "/other/")).status, 404)
        self.assertEqual(self.door.head("/v1/topics/t/uploads/..%2f..").status, 404)

    def test_an_expired_upload_is_410_and_gone(self) -> None:
        path = self.door.new(len(DATA))
        self.door.patch(path, 0, DATA[:2500])
        self.door.clock.advance(EXPIRY - 1)
        self.assertEqual(self.door.head(path).status, 200)
        self.door.clock.advance(1)
        self.assertEqual(self.door.head(path).status, 410)
        self.assertNothingLeft()

    def test_a_sweep_removes_what_has_expired(self) -> None:
        self.door.patch(self.door.new(len(DATA)), 0, DATA[:2500])
        done = self.door.new(len(DATA))
        self.door.patch(done, 0, DATA)
        self.door.uploads.start()
        self.addCleanup(self.door.uploads.stop)
        self.assertEqual(len(self.door.blobs), 1)
        self.door.clock.advance(EXPIRY / 2)
        young = self.door.new(10)
        self.door.clock.advance(EXPIRY / 2)
        self.assertEqual(self.door.offset(young), 0)
        self.assertEqual(len({key.split("/")[1] for key in self.door.uploads_store.objects}), 1)
        self.assertEqual((self.door.blobs, self.door.uploads_store.uploads), ([DATA], {}))

    def test_a_replica_that_finishes_a_terminated_upload_publishes_nothing(self) -> None:
        path = self.door.new(len(DATA))
        self.door.publisher.hold("log_end")
        client = self.door.client()
        client.send(patch(path, 0, DATA))
        self.assertEqual(self.door.replica().delete(path).status, 204)
        self.door.publisher.let_go("log_end")
        self.assertEqual(client.answer().status, 410)
        self.assertEqual(self.door.publisher.records, [])
        self.assertNothingLeft()
