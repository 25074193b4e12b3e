"""A record's payload over HTTP: every answer of the route, with doubles of the store and of Kafka."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

import attrs

from lfsproxy.envelope import Envelope
from lfsproxy.testing import MemoryBlob
from tests.web.doubles import Door
from tests.web.downloads import BLOB, PATH, SHA256, DownloadCase


class PayloadTests(DownloadCase):
    def test_the_blob_comes_back_with_what_is_known_of_it(self) -> None:
        self.upload()
        answer = self.get()
        self.assertEqual((answer.status, answer.body), (200, BLOB))
        headers = answer.headers
        self.assertEqual(headers["etag"], f'"{SHA256}"')
        self.assertEqual(headers["content-type"], "image/png")
        self.assertEqual(headers["content-disposition"], 'attachment; filename="scan.png"')
        self.assertEqual(headers["accept-ranges"], "bytes")
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertIn("sandbox", headers["content-security-policy"])
        self.assertEnded("ok")
        self.assertEqual(self.door.metrics.of("download")[0][2], len(BLOB))

    def test_an_empty_blob_comes_back(self) -> None:
        self.upload(b"")
        answer = self.get()
        self.assertEqual((answer.status, answer.body, answer.headers["content-length"]), (200, b"", "0"))
        self.assertEnded("ok")

    def test_head_answers_the_same_without_the_bytes(self) -> None:
        self.upload()
        head, whole = self.get(method="HEAD"), self.get()
        self.assertEqual((head.status, head.body), (200, b""))
        for name in ("etag", "content-type", "content-length", "content-disposition", "accept-ranges"):
            self.assertEqual(head.headers[name], whole.headers[name])

    def test_head_tells_of_a_blob_that_is_missing_or_has_another_length(self) -> None:
        key = self.upload()
        self.door.store.blobs[key] = MemoryBlob(BLOB[1:], "", {})
        self.assertEqual(self.get(method="HEAD").status, 502)
        del self.door.store.blobs[key]
        self.assertEqual(self.get(method="HEAD").status, 404)

    def test_an_ordinary_value_is_returned_as_it_is(self) -> None:
        self.publish(b'{"hello": 1}')
        answer = self.get()
        self.assertEqual((answer.status, answer.body), (200, b'{"hello": 1}'))
        self.assertEqual(answer.headers["content-type"], "application/octet-stream")
        self.assertEqual(answer.headers["etag"], f'"{hashlib.sha256(answer.body).hexdigest()}"')
        self.assertEqual(self.get(PATH, "Range: bytes=2-6").body, b"hello")

    def test_an_ordinary_value_beyond_what_memory_can_be_had_for_says_so(self) -> None:
        self.publish(bytes(self.door.budget.limit * 3 // 4 + 1))
        problem = self.assertProblem(self.get(), 502, "unreadable-record")
        self.assertIn("LFS_UPLOAD_MEMORY", problem["detail"])
        self.assertEqual(self.door.budget.used, 0)
        self.assertEqual(self.get(method="HEAD").status, 200)

    def test_an_ordinary_value_of_all_the_memory_that_can_be_had_is_given_out(self) -> None:
        value = bytes(self.door.budget.limit * 3 // 4)
        self.publish(value)
        self.assertEqual(self.get().body, value)

    def test_a_large_ordinary_value_waits_for_memory_and_is_read_again(self) -> None:
        value = b"v" * 500_000
        self.publish(value)
        self.assertEqual(self.get().body, value)
        self.assertEnded("ok")

    def test_a_null_value_is_no_content(self) -> None:
        self.publish(None)
        answer = self.get()
        self.assertEqual((answer.status, answer.body), (204, b""))

    def test_the_envelope(self) -> None:
        key = self.upload()
        self.publish(b"ordinary")
        answer = self.get(f"{PATH}/envelope")
        self.assertEqual((answer.status, answer.json["s3_key"]), (200, key))
        self.assertProblem(self.get("/v1/topics/t/partitions/0/records/1/envelope"), 404, "no-such-record")

    def test_presign_redirects_to_the_store(self) -> None:
        key = self.upload()
        self.publish(b"ordinary")
        answer = self.get(f"{PATH}?presign=true")
        self.assertEqual((answer.status, answer.headers["content-length"]), (307, "0"))
        self.assertIn(key, answer.headers["location"])
        self.assertProblem(
            self.get("/v1/topics/t/partitions/0/records/1?presign=true"), 404, "no-such-record"
        )
        for value in ("1", "True", "TRUE"):
            self.assertEqual(self.get(f"{PATH}?presign={value}").status, 307)
        for value in ("false", "0", "False"):
            self.assertEqual(self.get(f"{PATH}?presign={value}").body, BLOB)

    def test_a_wrong_query_is_quoted_as_text(self) -> None:
        self.assertIn("unknown option 'foo'", self.get(f"{PATH}?foo=1").json["detail"])
        self.assertIn("presign is 'yes'", self.get(f"{PATH}?presign=yes").json["detail"])

    def test_what_cannot_be_asked_for(self) -> None:
        for path in (
            f"{PATH}?presign=yes",
            f"{PATH}?presign=",
            f"{PATH}?presign=2",
            f"{PATH}?presign=true&presign=true",
            f"{PATH}?presigned=true",
            "/v1/topics/t/partitions/0/records/-1",
            "/v1/topics/t/partitions/x/records/0",
            f"/v1/topics/t/partitions/0/records/{2**63}",
            "/v1/topics/t%20/partitions/0/records/0",
        ):
            self.assertProblem(self.get(path), 400, "bad-request")
        self.assertProblem(self.get("/v1/topics/t/partitions/9/records/0"), 404, "unknown-topic")
        self.assertProblem(self.get("/v1/topics/none/partitions/0/records/0"), 404, "unknown-topic")
        self.assertProblem(self.get(), 404, "no-such-record")


class ConditionTests(DownloadCase):
    def setUp(self) -> None:
        super().setUp()
        self.upload()

    def test_a_copy_that_is_current_is_not_sent_again(self) -> None:
        for given in (f'"{SHA256}"', f'W/"{SHA256}"', f'"other", "{SHA256}"', "*"):
            answer = self.get(PATH, f"If-None-Match: {given}")
            self.assertEqual((answer.status, answer.body), (304, b""), given)
        self.assertEqual(self.get(PATH, 'If-None-Match: "other"').status, 200)

    def test_another_version_than_the_one_that_is_wanted(self) -> None:
        for given in (f'"{SHA256}"', "*", f'"other", "{SHA256}"'):
            self.assertEqual(self.get(PATH, f"If-Match: {given}").status, 200, given)
        for headers in (['If-Match: "other"'], [f'If-Match: W/"{SHA256}"', "Range: bytes=0-1"]):
            self.assertProblem(self.get(PATH, *headers), 412, "another-version")

    def test_single_ranges(self) -> None:
        size = len(BLOB)
        for asked, first, end in (
            ("0-0", 0, 1),
            ("300000-", 300_000, size),
            ("-5", size - 5, size),
            (f"-{size + 5}", 0, size),
            (f"100-{size * 9}", 100, size),
        ):
            answer = self.get(PATH, f"Range: bytes={asked}")
            self.assertEqual((answer.status, answer.body), (206, BLOB[first:end]), asked)
            self.assertEqual(answer.headers["content-range"], f"bytes {first}-{end - 1}/{size}")
            self.assertEqual(answer.headers["content-length"], str(end - first))

    def test_head_has_no_ranges(self) -> None:
        for asked in ("0-9", f"{len(BLOB)}-"):
            answer = self.get(PATH, f"Range: bytes={asked}", method="HEAD")
            self.assertEqual((answer.status, answer.headers["content-length"]), (200, str(len(BLOB))))

    def test_a_range_that_is_not_there(self) -> None:
        for asked in (f"{len(BLOB)}-", f"{len(BLOB) * 2}-{len(BLOB) * 3}"):
            answer = self.get(PATH, f"Range: bytes={asked}")
            self.assertProblem(answer, 416, "range-not-satisfiable")
            self.assertEqual(answer.headers["content-range"], f"bytes */{len(BLOB)}")

    def test_what_is_no_single_range_of_this_version_is_answered_with_the_whole(self) -> None:
        for headers in (
            ["Range: bytes=0-1,5-6"],
            ["Range: lines=0-1"],
            ["Range: bytes=5-2"],
            ["Range: bytes"],
            ["Range: bytes=0-1", 'If-Range: "other"'],
            ["Range: bytes=0-1", f'If-Range: W/"{SHA256}"'],
            ["Range: bytes=0-1", "If-Range: Thu, 01 Jan 2026 00:00:00 GMT"],
        ):
            answer = self.get(PATH, *headers)
            self.assertEqual((answer.status, len(answer.body)), (200, len(BLOB)), headers)
        self.assertEqual(self.get(PATH, "Range: bytes=0-1", f'If-Range: "{SHA256}"').body, BLOB[:2])


class ForgedTests(DownloadCase):
    """Whoever may produce to a topic writes what an envelope says."""

    def forge(self, **fields: Any) -> None:
        envelope = Envelope("kafscale", "lfs/default/t/0/0-x.bin", "image/png", 4, "sha256", "0" * 64)
        document = {**json.loads(envelope.to_bytes()), **fields}
        self.publish(json.dumps(document).encode())

    def test_another_topic_s_blob_is_not_given_out(self) -> None:
        for key in (
            "lfs/default/other/0/0-x.bin",
            "lfs/default/t/../other/0/0-x.bin",
            "lfs/other/t/0/0-x.bin",
        ):
            self.forge(s3_key=key)
            self.door.store.blobs[key] = MemoryBlob(b"kept", "", {})
            offset = len(self.door.publisher.records) - 1
            path = f"/v1/topics/t/partitions/0/records/{offset}"
            for asked in (path, f"{path}?presign=true"):
                self.assertProblem(self.get(asked), 403, "envelope-not-allowed")
            self.assertEqual(self.get(path, method="HEAD").status, 403)

    def test_a_mirror_s_copy_says_what_allows_it_and_is_given_out_with_that(self) -> None:
        """MirrorMaker's topic t of the cluster A is A.t, and the envelope names t's blob."""
        allowed = "lfs/default/t/"
        for prefixes, status in (((), 403), ((allowed,), 200)):
            self.door = Door(download_prefixes=prefixes)
            self.door.publisher.topics["A.t"] = 1
            self.upload()
            (record,) = self.door.publisher.records
            self.door.publisher.records.append(attrs.evolve(record, topic="A.t"))
            answer = self.get("/v1/topics/A.t/partitions/0/records/0")
            self.assertEqual(answer.status, status)
            if not prefixes:
                detail = self.assertProblem(answer, 403, "envelope-not-allowed")["detail"]
                self.assertIn(f"LFS_DOWNLOAD_PREFIXES={allowed} allows it", detail)
        self.assertEqual(answer.body, BLOB)

    def test_no_setting_is_named_for_what_no_proxy_has_written(self) -> None:
        uuid = UUID(int=1)
        for fields in (
            {"s3_bucket": "another", "s3_key": f"lfs/default/o/0/0-{uuid}.bin"},
            {"s3_key": "lfs/default/o/0/0-x.bin"},
            {"s3_key": f"lfs/default/../0/0-{uuid}.bin"},
            {"s3_key": f"lfs/de,fault/o/0/0-{uuid}.bin"},
            {"s3_key": f"lfs/default/o\n/0/0-{uuid}.bin"},
        ):
            self.forge(**fields)
            offset = len(self.door.publisher.records) - 1
            answer = self.get(f"/v1/topics/t/partitions/0/records/{offset}")
            problem = self.assertProblem(answer, 403, "envelope-not-allowed")
            self.assertNotIn("LFS_", problem["detail"])

    def test_another_bucket_is_not_asked(self) -> None:
        self.forge(s3_bucket="another")
        self.assertProblem(self.get(), 403, "envelope-not-allowed")

    def test_prefixes_may_be_allowed(self) -> None:
        self.door = Door(download_prefixes=("lfs/east/",))
        key = "lfs/east/t/0/0-x.bin"
        self.forge(s3_key=key, checksum=hashlib.sha256(b"kept").hexdigest())
        self.door.store.blobs[key] = MemoryBlob(b"kept", "", {})
        self.assertEqual(self.get().body, b"kept")

    def test_an_envelope_that_is_broken_or_too_new_says_so(self) -> None:
        self.forge(content_length="4")
        self.forge(lfs_version=2)
        self.assertProblem(self.get(), 502, "invalid-envelope")
        self.assertProblem(self.get("/v1/topics/t/partitions/0/records/1"), 502, "unsupported-envelope")

    def test_headers_take_nothing_that_a_header_cannot_hold(self) -> None:
        blob = MemoryBlob(b"kept", "", {})
        self.door.store.blobs["lfs/default/t/0/0-x.bin"] = blob
        self.forge(content_type="text/html\r\nSet-Cookie: a=b", checksum=hashlib.sha256(b"kept").hexdigest())
        self.assertEqual(self.get().headers["content-type"], "application/octet-stream")

    def test_file_names(self) -> None:
        for index, (name, disposition) in enumerate(
            (
                (b"a b.txt", 'attachment; filename="a b.txt"'),
                (b'q"\r\nX: y.txt', "attachment; filename=\"q_X: y.txt\"; filename*=UTF-8''q%22X%3A%20y.txt"),
                (b"../../etc/passwd", 'attachment; filename="passwd"'),
                (b"C:\\dir\\f.bin", 'attachment; filename="f.bin"'),
                ("ü☃.bin".encode(), "attachment; filename=\"__.bin\"; filename*=UTF-8''%C3%BC%E2%98%83.bin"),
                (b"..", "attachment"),
                (b"\xff", "attachment; filename=\"_\"; filename*=UTF-8''%EF%BF%BD"),
            )
        ):
            self.publish(b"x", (b"lfs-filename", name))
            answer = self.get(f"/v1/topics/t/partitions/0/records/{index}")
            self.assertEqual(answer.headers["content-disposition"], disposition)
