"""Deserializers for consumers: blobs in place of envelopes, then the payload's own deserializer."""

from __future__ import annotations

import json
from typing import Any

from confluent_kafka.serialization import MessageField, SerializationContext, StringDeserializer
from kafka.serializer import JsonSerializer
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import MISSING, RecordCoordinates, deserializers, kafka_python
from lfsproxy.errors import BlobMissing
from tests.client.doubles import FakeStore, envelope_of, reader, stored

CONTEXT = SerializationContext("demo", MessageField.VALUE)
PAYLOAD = json.dumps({"a": 1}).encode()


class ConfluentTests(SynchronousTestCase):
    def test_a_blob_and_an_ordinary_value(self) -> None:
        store, value = stored(PAYLOAD)
        deserialize = deserializers.LfsDeserializer(reader(store))
        self.assertEqual(deserialize(value, CONTEXT), PAYLOAD)
        self.assertEqual(deserialize(b"ordinary", CONTEXT), b"ordinary")
        self.assertIsNone(deserialize(None, CONTEXT))

    def test_the_payloads_own_deserializer_gets_the_context(self) -> None:
        store, value = stored("ü".encode())
        self.assertEqual(
            deserializers.LfsDeserializer(reader(store), StringDeserializer())(value, CONTEXT), "ü"
        )
        seen: list[Any] = []
        deserializers.LfsDeserializer(reader(store), lambda *given: seen.append(given))(value, CONTEXT)
        self.assertEqual(seen, [("ü".encode(), CONTEXT)])

    def test_an_error_comes_out(self) -> None:
        deserialize = deserializers.LfsDeserializer(reader(FakeStore()))
        self.assertRaises(BlobMissing, deserialize, envelope_of(b"x").to_bytes(), CONTEXT)


class MissingTests(SynchronousTestCase):
    """A skipped blob can be told from a null value."""

    def test_confluent_kafka(self) -> None:
        lost, told = envelope_of(b"x").to_bytes(), list[Any]()
        blobs = reader(FakeStore(), on_missing="skip", on_resolve=told.append)
        self.assertIsNone(deserializers.LfsDeserializer(blobs)(lost, CONTEXT))
        deserialize = deserializers.LfsDeserializer(blobs, StringDeserializer(), missing=MISSING)
        self.assertIs(deserialize(lost, CONTEXT), MISSING)
        self.assertIsNone(deserialize(None, CONTEXT))
        self.assertEqual(deserialize(b"text", CONTEXT), "text")
        self.assertEqual([one.record for one in told], [RecordCoordinates("demo")] * 2)

    def test_kafka_python(self) -> None:
        lost, told = envelope_of(b"x").to_bytes(), list[Any]()
        blobs = reader(FakeStore(), on_missing="skip", on_resolve=told.append)
        self.assertIsNone(kafka_python.LfsDeserializer(blobs).deserialize("demo", [], lost))
        deserializer = kafka_python.LfsDeserializer(blobs, JsonSerializer(), missing=MISSING)
        self.assertIs(deserializer.deserialize("demo", [], lost), MISSING)
        self.assertEqual(deserializer.deserialize("demo", [], b"1"), 1)
        self.assertIsNone(kafka_python.LfsDeserializer(blobs, missing=MISSING).deserialize("demo", [], None))
        self.assertEqual([one.record for one in told], [RecordCoordinates("demo")] * 2)

    def test_an_envelope_that_is_handed_over_is_not_missing(self) -> None:
        lost = envelope_of(b"x").to_bytes()
        blobs = reader(FakeStore(), on_missing="envelope")
        self.assertEqual(deserializers.LfsDeserializer(blobs, missing=MISSING)(lost, CONTEXT), lost)

    def test_its_name(self) -> None:
        self.assertEqual(repr(MISSING), "lfsproxy.client.MISSING")


class KafkaPythonTests(SynchronousTestCase):
    def test_a_blob_and_an_ordinary_value(self) -> None:
        store, value = stored(PAYLOAD)
        deserializer = kafka_python.LfsDeserializer(reader(store))
        self.assertEqual(deserializer.deserialize("demo", [], value), PAYLOAD)
        self.assertEqual(deserializer.deserialize("demo", [], b"ordinary"), b"ordinary")
        self.assertIsNone(deserializer.deserialize("demo", [], None))

    def test_the_payloads_own_deserializer(self) -> None:
        store, value = stored(PAYLOAD)
        deserializer = kafka_python.LfsDeserializer(reader(store), JsonSerializer())
        self.assertEqual(deserializer.deserialize("demo", [], value), {"a": 1})

    def test_closing_closes_the_inner_one_and_leaves_the_reader(self) -> None:
        class Inner(JsonSerializer):  # type: ignore[misc]  # kafka-python has no types
            closed = 0

            def close(self) -> None:
                self.closed += 1

        inner, (store, value) = Inner(), stored(PAYLOAD)
        deserializer = kafka_python.LfsDeserializer(reader(store), inner)
        deserializer.close()
        self.assertEqual((inner.closed, deserializer.deserialize("demo", [], value)), (1, {"a": 1}))
