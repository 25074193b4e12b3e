"""What a worker is given: its share of what a process has once, and its settings without a command line."""

from __future__ import annotations

from io import BytesIO

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import SettingError
from lfsproxy.settings import Settings
from lfsproxy.workers.boot import Boot, share_of

MIB = 2**20


class ShareTests(SynchronousTestCase):
    def test_memory_and_uploads_are_divided(self) -> None:
        share = share_of(Settings(workers=2, upload_memory=128 * MIB, http_max_uploads=1001))
        self.assertEqual((share.upload_memory, share.http_max_uploads), (64 * MIB, 500))

    def test_limits_on_all_are_divided_and_those_for_one_address_are_not(self) -> None:
        share = share_of(
            Settings(
                workers=2,
                http_max_downloads=7,
                http_max_connections=100,
                kafka_max_connections=0,
                kafka_max_connections_per_ip=9,
                http_max_connections_per_ip=9,
            )
        )
        self.assertEqual((share.http_max_downloads, share.http_max_connections), (3, 50))
        self.assertEqual(share.kafka_max_connections, 0)
        self.assertEqual((share.kafka_max_connections_per_ip, share.http_max_connections_per_ip), (9, 9))

    def test_no_limit_stays_none_and_a_limit_stays_one(self) -> None:
        self.assertEqual(share_of(Settings(workers=2, http_max_uploads=0)).http_max_uploads, 0)
        self.assertEqual(share_of(Settings(workers=2, http_max_uploads=1)).http_max_uploads, 1)

    def test_too_little_memory_for_each_names_both_settings(self) -> None:
        error = self.assertRaises(SettingError, Settings, workers=3)
        for text in ("LFS_UPLOAD_MEMORY is 134217728", "LFS_WORKERS is 3", str(3 * 48 * MIB)):
            self.assertIn(text, str(error))
        self.assertEqual(Settings(workers=3, upload_memory=3 * 48 * MIB).workers, 3)

    def test_settings_arrive_as_they_are(self) -> None:
        boot = Boot(1, 2, Settings(kafka_advertised_host="kafka"), "/folder", events=True)
        self.assertEqual(Boot.load(BytesIO(boot.dump())), boot)
        self.assertEqual(boot.loaded.origins, {})
