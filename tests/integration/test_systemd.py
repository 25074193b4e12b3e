"""The shipped unit with files that only root can read, as docs/how-to/systemd.md has it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.devstack.ports import HOST, free_port
from tests.certificates import Authority
from tests.docs.blocks import ROOT
from tests.integration import sandbox
from tests.integration.dynamic_user import UID, Unit, why_not

UNIT = (ROOT / "deploy/systemd/lfsproxy.service").read_text()
HOW_TO = (ROOT / "docs/how-to/systemd.md").read_text()
CREDENTIALS, GROUP, _ = (
    re.sub("^ +", "", text, flags=re.MULTILINE) for text in re.findall(r"```ini\n(.*?)```", HOW_TO, re.DOTALL)
)
SECONDS = 40
GROUP_ID = 61200


class DynamicUserTests(SynchronousTestCase):
    def setUp(self) -> None:
        reason = why_not()
        if reason:
            raise SkipTest(f"the systemd unit was NOT run as a user of its own: {reason}")
        # Of /tmp, since the folders of trial are its user's alone.
        self.folder = Path(tempfile.mkdtemp(prefix="lfsproxy-unit-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.authority = Authority(self.folder / "ca")
        issued = self.authority.issue("localhost")
        for name, data in {
            "http.pem": issued.certificate.read_bytes(),
            "http.key": issued.key.read_bytes(),
            "keys.json": b'{"keys": []}',
            "sasl-password": b"hunter2\n",
        }.items():
            self.write(name, data)
        self.http, self.kafka = free_port(), free_port()
        environment = (ROOT / "deploy/systemd/lfsproxy.env").read_text() + "\n".join(
            [
                f"LFS_HTTP_ADDR={HOST}:{self.http}",
                f"LFS_KAFKA_ADDR={HOST}:{self.kafka}",
                f"LFS_METRICS_ADDR={HOST}:0",
                f"LFS_S3_ENDPOINT=http://{HOST}:{free_port()}",
                f"LFS_KAFKA_BROKERS={HOST}:{free_port()}",
                "LFS_KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT",
                "LFS_KAFKA_SASL_MECHANISM=PLAIN",
                "LFS_KAFKA_SASL_USERNAME=proxy",
                "AWS_ACCESS_KEY_ID=an-id",
                "AWS_SECRET_ACCESS_KEY=a-secret-key",
                "",
            ]
        )
        self.write("lfsproxy.env", environment.encode())

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(data)
        return path

    def start(self, unit: Unit, *groups: int) -> None:
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                unit.command(groups, self.restricted),
                env=unit.environment(),
                cwd="/",
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)

    def restricted(self, command: list[str]) -> list[str]:
        """With the unit's filter, where that can be had: test_systemd_notify.py says where it cannot."""
        return command if sandbox.why_not() else sandbox.restricted(UNIT, self.folder / "filter", command)

    def until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not reached():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"exit status {self.process.poll()}; log:\n{self.log.read_text()}")
            time.sleep(0.05)

    def ask(self, path: str, method: str = "GET") -> int:
        """The status of an answer over HTTPS; 0 while nothing listens."""
        trust = ssl.create_default_context(cafile=str(self.authority.file))
        connection = http.client.HTTPSConnection("localhost", self.http, timeout=SECONDS, context=trust)
        try:
            connection.request(method, path, headers={"Authorization": "Bearer lfsproxy_unknown"})
            return connection.getresponse().status
        except ConnectionRefusedError:
            return 0
        finally:
            connection.close()

    def user(self) -> list[str]:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return re.findall(r"^(?:Uid|CapBnd):\s+(\w+)", status, re.MULTILINE)

    def test_files_that_only_root_can_read_are_named_without_credentials(self) -> None:
        direct = re.sub(r"^LoadCredential=.*\n", "", CREDENTIALS, flags=re.MULTILINE)
        self.start(Unit(self.folder, UNIT, direct.replace("%d", str(self.folder))))
        self.assertEqual(self.process.wait(SECONDS), 1)
        self.assertEqual(
            self.log.read_text(),
            f"lfsproxy: LFS_KAFKA_SASL_PASSWORD_FILE is '{self.folder}/sasl-password': the path of a file "
            f"that the proxy can read is needed (user {UID} may not read it)\n",
        )

    def test_with_credentials_the_service_runs_and_stops_cleanly(self) -> None:
        self.start(Unit(self.folder, UNIT, CREDENTIALS))
        self.until(lambda: self.ask("/healthz") == 200)
        self.assertEqual(self.user(), [str(UID), "0" * 16])
        self.assertEqual(self.ask("/v1/topics/t/records", "POST"), 401)
        self.assertNotIn("hunter2", self.log.read_text())
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(SECONDS), 0, self.log.read_text())

    def test_a_file_of_the_services_group_is_read_in_place_and_anew(self) -> None:
        keys = self.folder / "keys.json"
        os.chown(keys, 0, GROUP_ID)
        keys.chmod(0o640)
        credentials = re.sub(r"^.*keys\.json.*\n", "", CREDENTIALS, flags=re.MULTILINE)
        self.start(Unit(self.folder, UNIT, credentials, GROUP), GROUP_ID)
        self.until(lambda: self.ask("/v1/topics/t/records", "POST") == 401)
        keys.write_text(json.dumps({"keys": "none"}))
        self.until(
            lambda: (
                self.ask("/v1/topics/t/records", "POST") == 401 and "not usable now" in self.log.read_text()
            )
        )
