"""Run by test_one_place against a package whose table of algorithms has ``sha512`` too."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from click.testing import CliRunner
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import HeldMemory
from lfsproxy.checksums import AllChecksums
from lfsproxy.claimcheck import ClaimCheck, Payload
from lfsproxy.cli.main import main
from lfsproxy.envelope import parse_envelope, recognise
from lfsproxy.errors import LfsError
from lfsproxy.settings import load_settings, setting_table
from lfsproxy.settings.page import page
from lfsproxy.testing import MemoryMetrics
from lfsproxy.testing.store import MemoryStore
from tests.client.doubles import FakeStore, envelope_of, reader
from tests.relay.records import batch, lfs, produce
from tests.relay.rig import RelayTestCase
from tests.s3.helpers import FakeS3TestCase
from tests.web.doubles import Door, request
from tests.web.tus_door import TusDoor, metadata

NAME = "sha512"
DATA = b"a payload" * 1000
DIGEST = hashlib.sha512(DATA).hexdigest()
FIELDS = {"checksum_algo": NAME, "checksum": DIGEST}


class CoreTests(SynchronousTestCase):
    def test_an_envelope_names_it(self) -> None:
        value = envelope_of(DATA, **FIELDS).to_bytes()
        self.assertEqual(parse_envelope(value), envelope_of(DATA, **FIELDS))

    def test_an_older_envelope_may_name_it(self) -> None:
        fields = {"kfs_lfs": 1, "bucket": "b", "key": "k", "size": 5, "checksum": DIGEST}
        found = recognise(json.dumps({**fields, "checksum_alg": NAME}).encode())
        assert found is not None
        self.assertEqual((found.checksum_algo, found.checksum), (NAME, DIGEST))

    def test_it_is_among_all(self) -> None:
        checksum = AllChecksums()
        checksum.update(DATA)
        checksum.choose(NAME)
        self.assertEqual(checksum.hexdigest(), DIGEST)

    def test_it_can_be_the_setting(self) -> None:
        loaded = load_settings({"LFS_CHECKSUM_ALGO": NAME}, {})
        self.assertEqual(loaded.settings.checksum_algo, NAME)
        info = setting_table()["checksum_algo"]
        self.assertIn(NAME, info.help)
        self.assertIn(NAME, info.parse.allowed)
        self.assertIn(info.help, page())


class DoorTests(SynchronousTestCase):
    def envelope(self, door: Door) -> dict[str, Any]:
        envelope: dict[str, Any] = json.loads(door.publisher.records[0].value or b"")
        self.assertEqual((envelope["checksum_algo"], envelope["checksum"]), (NAME, DIGEST))
        return envelope

    def test_an_http_upload_is_verified_with_it(self) -> None:
        door = Door()
        path = f"/v1/topics/t/records?partition=0&checksum_algo={NAME}&checksum="
        self.assertEqual(door.ask(request(path=path + DIGEST[:-1] + "x", body=DATA)).status, 400)
        wrong = DIGEST[1:] + DIGEST[:1]
        self.assertEqual(door.ask(request(path=path + wrong, body=DATA)).status, 400)
        self.assertEqual(door.ask(request(path=path + DIGEST, body=DATA)).status, 201)
        self.envelope(door)
        got = door.ask(request("GET", "/v1/topics/t/partitions/0/records/0", None))
        self.assertEqual((got.status, got.body, got.headers["etag"]), (200, DATA, f'"{DIGEST}"'))

    def test_a_resumable_upload_is_verified_with_it(self) -> None:
        door = TusDoor()
        path = door.new(len(DATA), metadata(checksum_algo=NAME, checksum=DIGEST))
        self.assertEqual(door.patch(path, 0, DATA).status, 204)
        self.envelope(door)

    def test_the_description_of_the_api_shows_it(self) -> None:
        shown = json.dumps(Door().ask(request("GET", "/openapi.json", None)).json)
        self.assertEqual(shown.count(f'"{NAME}"'), shown.count('"crc32"'))
        self.assertGreater(shown.count(f'"{NAME}"'), 1)
        self.assertIn("{128}", shown)

    def test_a_command_takes_it(self) -> None:
        shown = CliRunner().invoke(main, ["upload", "--help"]).output
        self.assertIn(NAME, shown)


class KafkaDoorTests(RelayTestCase):
    def test_a_record_is_verified_with_it(self) -> None:
        client = self.client()
        wrong = (DIGEST[1:] + DIGEST[:1]).encode()
        client.send(produce(1, batch(lfs(DATA, (b"LFS_BLOB_ALG", NAME.encode()), mark=wrong))))
        self.assertEqual(client.code(1), 87)
        client.send(produce(2, batch(lfs(DATA, (b"LFS_BLOB_ALG", NAME.encode()), mark=DIGEST.encode()))))
        self.assertEqual(client.code(2), 0)
        (envelope,) = self.cluster.records()[-1].envelopes
        self.assertEqual((envelope.checksum_algo, envelope.checksum), (NAME, DIGEST))


class StoreTests(FakeS3TestCase):
    async def test_the_object_says_it(self) -> None:
        claims = ClaimCheck(self.s3.blobs, MemoryMetrics(), self.clock)
        claim = claims.begin(Payload("http", "t", 0, 0, algorithm=NAME), HeldMemory())
        claim.write(DATA)
        envelope = await claim.finish()
        headers = self.fake.objects[envelope.s3_key].headers
        self.assertEqual(headers["x-amz-meta-lfs-checksum-algo"], NAME)
        self.assertEqual(headers["x-amz-meta-lfs-checksum"], DIGEST)


class ReaderTests(SynchronousTestCase):
    def test_a_reader_verifies_with_it(self) -> None:
        value = envelope_of(DATA, **FIELDS).to_bytes()
        store = FakeStore({("kafscale", "lfs/k"): DATA})
        self.assertEqual(reader(store).fetch(value), DATA)
        store.objects["kafscale", "lfs/k"] = DATA[::-1]
        error = self.assertRaises(LfsError, reader(store).fetch, value)
        self.assertIn(NAME, str(error))

    def test_a_resumable_stores_blob_is_read_back_with_it(self) -> None:
        store = MemoryStore(Clock())
        checksum = AllChecksums()
        checksum.choose(NAME)
        self.successResultOf(Deferred.fromCoroutine(store.resumable.digest([checksum], DATA)))
        self.assertEqual(checksum.hexdigest(), DIGEST)
