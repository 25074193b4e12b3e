"""Kinds of values: sizes, times and addresses."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import SettingError
from lfsproxy.settings import (
    Address,
    Settings,
    load_settings,
    parse_address,
)


class QuantityTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        for text, value in {
            "0": 0,
            "16777216": 2**24,
            "64k": 2**16,
            "64K": 2**16,
            "128MiB": 2**27,
            "128 MiB": 2**27,
            "128Mi": 2**27,
            "10GB": 10**10,
            "10gb": 10**10,
            "1kB": 1000,
            "1.5G": 3 * 2**29,
            "2T": 2**41,
            "7B": 7,
        }.items():
            self.assertEqual(load_settings({"LFS_MAX_UPLOAD_SIZE": text}, {}).settings.max_upload_size, value)

    def test_times(self) -> None:
        for text, value in {
            "15": 15,
            "0.5": 0.5,
            "30s": 30,
            "500ms": 0.5,
            "5m": 300,
            "1h": 3600,
            "1h30m": 5400,
            "7d": 604800,
            "0.5h": 1800,
        }.items():
            self.assertEqual(load_settings({"LFS_DRAIN_TIMEOUT": text}, {}).settings.drain_timeout, value)

    def test_the_range_is_said(self) -> None:
        for name, text, said in (
            (
                "LFS_S3_PART_SIZE",
                "1MiB",
                "a size from 5MiB to 5GiB, such as 65536, 64k, 128MiB or 10GB, is needed",
            ),
            ("LFS_STALL_TIMEOUT", "0", "a time above 0, at most 365d, such as 30, 30s, 5m or 1h, is needed"),
            ("LFS_DRAIN_DELAY", "x", "a time from 0, at most 365d, such as 30, 30s, 5m or 1h, is needed"),
        ):
            error = self.assertRaises(SettingError, load_settings, {name: text}, {})
            self.assertEqual(str(error), f"{name} is '{text}': {said}")

    def test_a_value_with_a_unit_is_shown_as_it_was_given(self) -> None:
        loaded = load_settings({"LFS_UPLOAD_MEMORY": "256MiB"}, {})
        self.assertEqual(loaded.origins, {"upload_memory": ("LFS_UPLOAD_MEMORY", "256MiB")})


class AddressTests(SynchronousTestCase):
    def test_addresses_are_written_as_they_are_read(self) -> None:
        for text in (":8080", "localhost:1", "[::1]:9092", "10.0.0.1:65535"):
            self.assertEqual(str(parse_address(text)), text)

    def test_broker_ports_follow_the_bootstrap_port(self) -> None:
        self.assertEqual(Settings().broker_port_base, 19093)
        self.assertEqual(Settings(kafka_addr=Address("", 5)).broker_port_base, 6)
        self.assertEqual(Settings(kafka_broker_port_base=30000).broker_port_base, 30000)
