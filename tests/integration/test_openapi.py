"""schemathesis, a client nobody here wrote, tries every operation of the OpenAPI document on real servers."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from lfsproxy.web.keys import ACTIONS, new_key, write_keys
from tests.integration.downloads import produce
from tests.integration.proxy import own_proxy
from tests.integration.stack import Stack, in_thread, stack
from tests.web.doubles import OPERATIONS

PARTITIONS = 3
EXAMPLES = 200
ANY_TIME = {"message.timestamp.after.max.ms": str(2**63 - 1), "retention.ms": "-1"}
REQUESTS = "lfsproxy_http_requests_total{"
UPLOADS = 'route="/v1/topics/{topic}/records"'
DOWNLOADS = 'route="/v1/topics/{topic}/partitions/{partition}/records/{offset}"'
ENVELOPES = 'route="/v1/topics/{topic}/partitions/{partition}/records/{offset}/envelope"'
HOOKS = "tests.integration.openapi_hooks"
CONFIG = str(Path(__file__).with_name("schemathesis.toml"))
RUN = "from schemathesis.cli import schemathesis; schemathesis()"


class SchemathesisTests(TestCase):
    timeout = 400

    async def test_it_finds_nothing(self) -> None:
        servers = await stack()
        keys, token = file_of_keys(self.mktemp())
        proxy = await own_proxy(self, servers, LFS_HTTP_API_KEYS_FILE=keys)
        topic = await servers.new_topic("schemathesis", partitions=PARTITIONS, config=ANY_TIME)
        records = await in_thread(put_records, servers, proxy.http, topic, token)
        report = self.mktemp()
        out, err, code = await getProcessOutputAndValue(
            sys.executable,
            [
                "-c", RUN, "--config-file", CONFIG,
                "run", f"{proxy.http}/openapi.json", "--url", proxy.http, "--checks", "all",
                "--header", f"Authorization: Bearer {token}",
                "--max-examples", str(EXAMPLES), "--workers", "1", "--continue-on-failure", "--no-color",
                "--phases", "examples,coverage,fuzzing", "--seed", "1", "--warnings", "off",
                "--generation-database", "none", "--report", "json", "--report-json-path", report,
            ],
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": HOOKS,
                "LFS_TEST_TOPIC": topic,
                "LFS_TEST_PARTITIONS": str(PARTITIONS),
                "LFS_TEST_RECORDS": str(records),
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "no_proxy": "*",
            },
        )  # fmt: skip
        said = (out + err).decode("utf-8", "replace")
        self.assertEqual(code, 0, said[-20000:])
        self.check(await in_thread(read_report, report), await in_thread(proxy.metrics), said)

    def check(self, found: Any, metrics: Mapping[str, float], said: str) -> None:
        """It has looked at every operation, and at requests of both kinds."""
        self.assertTrue(found["complete"])
        operations = found["operations"]
        # All but the document's own, which it does not test.
        self.assertEqual(operations["tested"], len(OPERATIONS) - 1, said)
        self.assertEqual(operations["errored"], 0, said)
        uploads = {
            name: number for name, number in metrics.items() if name.startswith(REQUESTS) and UPLOADS in name
        }
        taken = sum(number for name, number in uploads.items() if 'status="201"' in name)
        refused = sum(number for name, number in uploads.items() if 'status="4' in name)
        self.assertGreater(taken, EXAMPLES / 4, uploads)
        self.assertGreater(refused, EXAMPLES / 4, uploads)
        self.assertGreater(taken + refused, EXAMPLES, uploads)
        for route in (DOWNLOADS, ENVELOPES):
            asked = {
                name: number
                for name, number in metrics.items()
                if name.startswith(REQUESTS) and route in name and 'method="GET"' in name
            }
            self.assertGreater(sum(asked.values()), EXAMPLES, asked)
            given = sum(number for name, number in asked.items() if 'status="2' in name)
            self.assertGreater(given, EXAMPLES / 8, asked)


def file_of_keys(path: str) -> tuple[str, str]:
    """Write a file with one key that may do everything; where it is, and the key."""
    key, token = new_key("schemathesis", ["*"], ACTIONS, datetime.now(UTC))
    Path(path).write_text(write_keys([key]))
    return os.path.abspath(path), token


def read_report(path: str) -> Any:
    """What schemathesis has written at ``--report-json-path``."""
    return json.loads(Path(path).read_text())


def put_records(servers: Stack, proxy: str, topic: str, token: str) -> int:
    """Put a record of each kind into partition 0: blobs, ordinary ones, a null; how many there are."""
    for body in (b"a blob", b"", b"x" * 100_000):
        url = f"{proxy}/v1/topics/{topic}/records?partition=0"
        request = urllib.request.Request(url, body, {"Authorization": f"Bearer {token}"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30):
            """The answer has nothing that is needed."""
    return 1 + max(produce(servers, topic, value) for value in (b"ordinary", None))
