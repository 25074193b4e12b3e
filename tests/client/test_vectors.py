"""The record values that all readers share, and the older ones that this reader reads too."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.checksums import ALGORITHMS, new_checksum
from lfsproxy.client import Resolution
from lfsproxy.client.recognise import recognise
from lfsproxy.envelope import object_key
from lfsproxy.errors import LfsError
from tests.client.doubles import FakeStore, reader

VECTORS = Path(__file__).parent.parent / "vectors"


def value_of(vector: dict[str, Any]) -> bytes | None:
    if "value_base64" in vector:
        return b64decode(vector["value_base64"])
    text: str | None = vector["value"]
    return None if text is None else text.encode("utf-8")


class AnyPlace(FakeStore):
    """Gives the same blob for every key."""

    def __init__(self, blob: str | None) -> None:
        super().__init__()
        self.blob = blob

    def urlopen(self, method: str, path: str, headers: Any, **arguments: Any) -> Any:
        self.paths.append(path)
        if self.blob is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return self._answer(200, self.blob.encode())


class VectorTests(SynchronousTestCase):
    def check(self, name: str) -> None:
        document = json.loads((VECTORS / name).read_text(encoding="utf-8"))
        self.assertTrue(document["vectors"])
        for vector in document["vectors"]:
            self.check_one(vector, document["reader"])

    def check_one(self, vector: dict[str, Any], settings: dict[str, Any]) -> None:
        name, value, outcome = vector["name"], value_of(vector), vector["outcome"]
        told: list[Resolution] = []
        store = AnyPlace(vector.get("blob"))
        blobs = reader(store, on_resolve=told.append, **settings)
        if outcome in ("ordinary", "blob"):
            resolved = blobs.resolve(value)
            file = blobs.open(value).stream
            streamed = None if file is None else file.read()
            wanted = value if outcome == "ordinary" else vector["blob"].encode()
            self.assertEqual((resolved.value, streamed), (wanted, wanted), name)
            found = None if resolved.envelope is None else attrs.asdict(resolved.envelope)
            self.assertEqual(found, vector.get("envelope"), name)
            self.assertEqual([one.result for one in told], ["ok", "ok"] if found else [], name)
            asked = [f"/{found['s3_bucket']}/{found['s3_key']}"] * 2 if found else []
            self.assertEqual([unquote(path, errors="strict") for path in store.paths], asked, name)
        else:
            error = self.assertRaises(LfsError, blobs.fetch, value)
            self.assertEqual(error.problem, outcome, name)
            for one in told:
                self.assertEqual(one.result, outcome, name)

    def test_envelopes(self) -> None:
        self.check("envelopes.json")

    def test_older_envelopes(self) -> None:
        self.check("older_envelopes.json")

    def test_a_value_of_64_kib_is_no_envelope(self) -> None:
        document = json.loads((VECTORS / "envelopes.json").read_text(encoding="utf-8"))
        good = next(value_of(vector) for vector in document["vectors"] if vector["outcome"] == "blob")
        assert good is not None
        for size, is_one in ((64 * 1024 - 1, True), (64 * 1024, False)):
            padded = good[:-1] + b" " * (size - len(good)) + b"}"
            self.assertEqual(recognise(padded) is not None, is_one)


def bytes_of(vector: dict[str, Any]) -> bytes:
    if "base64" in vector:
        return b64decode(vector["base64"])
    unit = bytes(i * 31 % 251 for i in range(251))
    size: int = vector["size"]
    return (unit * (size // len(unit) + 1))[:size]


class OtherVectorTests(SynchronousTestCase):
    def test_checksums(self) -> None:
        document = json.loads((VECTORS / "checksums.json").read_text(encoding="utf-8"))
        for vector in document["vectors"]:
            data = bytes_of(vector)
            for algorithm in ALGORITHMS:
                for piece in (size for size in document["pieces"] if len(data) // size < 10_000):
                    checksum = new_checksum(algorithm)
                    for start in range(0, len(data), piece):
                        checksum.update(data[start : start + piece])
                    self.assertEqual(checksum.hexdigest(), vector[algorithm], (vector["name"], piece))

    def test_object_keys(self) -> None:
        document = json.loads((VECTORS / "keys.json").read_text(encoding="utf-8"))
        self.assertTrue(document["vectors"])
        for vector in document["vectors"]:
            key = object_key(
                vector["namespace"],
                vector["topic"],
                vector["partition"],
                vector["offset"],
                UUID(vector["uuid"]),
            )
            self.assertEqual(key, vector["key"], vector["name"])
