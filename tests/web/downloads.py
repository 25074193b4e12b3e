"""A record to download through the HTTP door, and how it is asked for."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import hashlib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.testing import MemoryRecord
from tests.web.doubles import Answer, Door, form, request

PATH = "/v1/topics/t/partitions/0/records/0"
BLOB = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(BLOB).hexdigest()


class DownloadCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door()

    def upload(self, data: bytes = BLOB, filename: str = "scan.png") -> str:
        """Upload to partition 0; the blob's key."""
        body, content_type = form(("file", filename, data))
        answer = self.door.ask(
            request(path="/v1/topics/t/records?partition=0", body=body, headers=[content_type])
        )
        self.assertEqual(answer.status, 201, answer.body)
        key: str = answer.json["envelope"]["s3_key"]
        return key

    def publish(self, value: bytes | None, *headers: tuple[bytes, bytes | None]) -> None:
        """Put a record into the log, whatever it is."""
        record = MemoryRecord("t", 0, len(self.door.publisher.records), None, value, headers, 0)
        self.door.publisher.records.append(record)

    def get(self, path: str = PATH, *headers: str, method: str = "GET") -> Answer:
        return self.door.ask(request(method, path, body=None, headers=headers))

    def assertProblem(self, answer: Answer, status: int, problem: str) -> Any:
        self.assertEqual((answer.status, answer.json["type"]), (status, f"/problems/{problem}"))
        return answer.json

    def assertEnded(self, *results: str) -> None:
        """Nothing is held any longer, and the downloads ended so."""
        self.assertEqual([call[1] for call in self.door.metrics.of("download")], list(results))
        self.assertEqual((self.door.source.open_downloads, self.door.budget.used), (0, 0))
