"""ApiVersions answers are capped to what the proxy understands, in every version of the answer."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from kafka.protocol.api_header import ResponseClassRegistry
from kafka.protocol.metadata import ApiVersionsResponse as Theirs
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.versions import APIS, How, cap_versions, find, looks_capped, unsupported_version_answer

Ranges = Sequence[tuple[int, int, int]]
BROKER: Ranges = [
    (KafkaApi.PRODUCE, 0, 13),
    (KafkaApi.FETCH, 4, 18),
    (KafkaApi.METADATA, 0, 13),
    (KafkaApi.API_VERSIONS, 0, 4),
    (KafkaApi.INIT_PRODUCER_ID, -1, -1),
    (KafkaApi.DELETE_GROUPS, 7, 9),
    (KafkaApi.SHARE_GROUP_HEARTBEAT, 1, 1),
    (KafkaApi.SHARE_FETCH, 1, 3),
    (KafkaApi.SHARE_ACKNOWLEDGE, 1, 2),
    (KafkaApi.WRITE_SHARE_GROUP_STATE, 0, 1),
    (999, 0, 0),
]


def answer(version: int, ranges: Ranges = BROKER, **fields: Any) -> bytes:
    """A broker's answer, without length field and correlation id."""
    keys = [
        Theirs.ApiVersion(version=version, api_key=key, min_version=low, max_version=high)
        for key, low, high in ranges
    ]
    message = Theirs(version=version, error_code=0, api_keys=keys, throttle_time_ms=7, **fields)
    return bytes(message.encode(version=version))


def capped(version: int, body: bytes) -> tuple[Any, dict[int, tuple[int, int]]]:
    """The client's answer as kafka-python reads it, and its ranges."""
    frame = cap_versions(version, 77, body).frame
    size, correlation_id = struct.unpack(">ii", frame[:8])
    assert (size, correlation_id) == (len(frame) - 4, 77)
    message = Theirs.decode(frame[8:], version=version)
    return message, {each.api_key: (each.min_version, each.max_version) for each in message.api_keys}


class CapTests(SynchronousTestCase):
    def test_every_version_of_the_answer_is_capped(self) -> None:
        for version in range(5):
            message, ranges = capped(version, answer(version))
            self.assertEqual(
                ranges,
                {
                    KafkaApi.PRODUCE: (0, 12),
                    KafkaApi.FETCH: (4, 15),
                    KafkaApi.METADATA: (0, 13),
                    KafkaApi.API_VERSIONS: (0, 4),
                    KafkaApi.SHARE_GROUP_HEARTBEAT: (1, 1),
                    KafkaApi.SHARE_FETCH: (1, 2),
                    KafkaApi.SHARE_ACKNOWLEDGE: (1, 2),
                },
            )
            self.assertEqual(message.throttle_time_ms, 7 if version else 0)

    def test_produce_keeps_minimum_0(self) -> None:
        _, ranges = capped(3, answer(3, [(KafkaApi.PRODUCE, 3, 11)]))
        self.assertEqual(ranges, {KafkaApi.PRODUCE: (0, 11)})

    def test_the_broker_s_own_ranges_are_told(self) -> None:
        found = cap_versions(3, 1, answer(3)).broker_ranges
        self.assertEqual(found[KafkaApi.FETCH], (4, 18))
        self.assertNotIn(KafkaApi.INIT_PRODUCER_ID, found)

    def test_features_stay_but_for_those_of_withheld_apis(self) -> None:
        supported = [
            Theirs.SupportedFeatureKey(version=3, name=name, min_version=0, max_version=2)
            for name in ("transaction.version", "share.version")
        ]
        finalized = [
            Theirs.FinalizedFeatureKey(version=3, name=name, max_version_level=2, min_version_level=1)
            for name in ("transaction.version", "share.version")
        ]
        body = answer(
            3,
            [(KafkaApi.PRODUCE, 0, 13), (KafkaApi.SHARE_FETCH, 0, 0)],
            supported_features=supported,
            finalized_features_epoch=55,
            finalized_features=finalized,
        )
        message, _ = capped(3, body)
        self.assertEqual([each.name for each in message.supported_features], ["transaction.version"])
        self.assertEqual([each.name for each in message.finalized_features], ["transaction.version"])
        self.assertEqual(message.finalized_features[0].max_version_level, 2)
        self.assertEqual(message.finalized_features_epoch, 55)

    def test_whoever_cannot_fetch_cannot_join_a_share_group(self) -> None:
        whole = [
            (KafkaApi.SHARE_GROUP_HEARTBEAT, 1, 1),
            (KafkaApi.SHARE_FETCH, 1, 2),
            (KafkaApi.SHARE_ACKNOWLEDGE, 1, 2),
        ]
        self.assertEqual(list(capped(3, answer(3, whole))[1]), [key for key, _, _ in whole])
        # The early access of Kafka 4.0 has version 0.
        for ranges in (
            whole[:1],
            whole[:2],
            [whole[0], whole[2]],
            [*whole[:2], (KafkaApi.SHARE_ACKNOWLEDGE, 0, 0)],
        ):
            _, found = capped(3, answer(3, ranges))
            self.assertNotIn(KafkaApi.SHARE_GROUP_HEARTBEAT, found, ranges)

    def test_transactions_of_version_2_can_be_kept_up_with(self) -> None:
        for key, version in ((KafkaApi.PRODUCE, 12), (KafkaApi.END_TXN, 5), (KafkaApi.TXN_OFFSET_COMMIT, 5)):
            self.assertGreaterEqual(APIS[key].max_version, version)

    def test_what_is_capped_already_is_known_as_that(self) -> None:
        begins = (KafkaApi.SASL_HANDSHAKE, 0, 1)
        broker = {key: (low, high) for key, low, high in [*BROKER, begins]}
        self.assertFalse(looks_capped(broker))
        self.assertTrue(looks_capped(capped(0, answer(0, [*BROKER, begins]))[1]))
        self.assertFalse(looks_capped({**broker, KafkaApi.SASL_HANDSHAKE: (1, 1)}))
        # A broker that offers nothing that is withheld.
        self.assertFalse(looks_capped({KafkaApi.PRODUCE: (0, 9), KafkaApi.SASL_HANDSHAKE: (0, 1)}))
        self.assertFalse(looks_capped({KafkaApi.PRODUCE: (0, 9)}))

    def test_an_older_broker_s_unsupported_version_answer_is_capped_in_its_shape(self) -> None:
        body = struct.pack(">hi", 35, 2) + struct.pack(">hhhhhh", 18, 0, 2, 0, 0, 13)
        frame = cap_versions(4, 1, body).frame
        self.assertEqual(frame[8:], struct.pack(">hi", 35, 2) + struct.pack(">hhhhhh", 18, 0, 2, 0, 0, 12))

    def test_another_error_keeps_the_shape_of_its_version(self) -> None:
        body = struct.pack(">hBiB", 42, 1, 0, 0)
        self.assertEqual(cap_versions(3, 1, body).frame[8:], body)

    def test_what_does_not_decode_is_a_framing_error(self) -> None:
        for body in (b"", b"\0", answer(3)[:-1], answer(3) + b"\0", b"\0\0\x7f\xff\xff\xff"):
            self.assertRaises(FramingError, cap_versions, 3, 1, body)

    def test_a_version_above_ours_is_answered_in_the_shape_of_version_0(self) -> None:
        frame = unsupported_version_answer(5)
        self.assertEqual(frame, struct.pack(">iihihhh", 16, 5, 35, 1, 18, 0, 5))


class TableTests(SynchronousTestCase):
    """What Kafka's own definitions say is held against the table in tests.integration.test_kafka_apis."""

    def test_names_are_kafka_s(self) -> None:
        names = {
            key: response.name for key, response in ResponseClassRegistry._response_class_registry.items()
        }
        self.assertGreater(len(names), 45)
        for key, name in names.items():
            self.assertEqual(f"{APIS[key].name}Response", name)

    def test_withheld_apis_are_not_found(self) -> None:
        for key in (
            4,
            KafkaApi.CONTROLLED_SHUTDOWN,
            58,
            KafkaApi.WRITE_SHARE_GROUP_STATE,
            95,
            -1,
        ):
            self.assertIsNone(find(key))
        self.assertIs(APIS[KafkaApi.API_VERSIONS].how, How.VERSIONS)
