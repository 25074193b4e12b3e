"""docs/how-to/kafka-connect.md, followed from an empty folder: a file sink gets the text that was uploaded.

The worker is Kafka's own, from the jars on Maven Central (connect/pom.xml) in place of a Kafka folder.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial import unittest

from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.devstack.process import ServerProcess
from tests.integration.java_pages import (
    CONNECT_PAGE,
    TOOLS,
    Place,
    command_of,
    demo_addresses,
    java_place,
    replaced,
    without_clone,
)
from tests.integration.proxy import shared_proxy
from tests.integration.stack import in_thread, stack
from tests.sdks.tools import require_tools

WORKER_POM = Path(__file__).parent / "connect/pom.xml"
CONVERTER = "io.github.lfsproxy.client.connect.LfsConverter"
START = """\
#!/bin/sh
# As Kafka's own script: the file connectors are not on the class path, but found by plugin.path.
jars=$(ls "${0%/bin/*}"/libs/*.jar | grep -v connect-file | tr '\\n' ':')
exec java -Xmx256m -XX:+UseSerialGC -cp "$jars" org.apache.kafka.connect.cli.ConnectStandalone "$@"
"""


class ConnectTests(unittest.TestCase):
    timeout = 1200

    async def setUp(self) -> None:  # type: ignore[override]
        require_tools("java", (*TOOLS, "unzip"))
        self.servers = await stack()
        self.proxy = await shared_proxy()
        self.place: Place = await in_thread(java_place)
        self.folder = await in_thread(self.new_folder)
        self.rest = f"{HOST}:{free_port()}"
        topic = await self.servers.new_topic("connect")
        self.instead = {
            **demo_addresses(self.servers, self.proxy),
            "localhost:8083": self.rest,
            "text-topic": topic,
            "/opt/kafka": str(self.folder / "kafka"),
        }

    def new_folder(self) -> Path:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "lfsproxy").symlink_to(self.place.folder / "lfsproxy")
        return folder

    def run_block(self, part: str) -> str:
        return self.place.run(command_of(CONNECT_PAGE, part), self.folder, instead=self.instead)

    def make_kafka_folder(self) -> None:
        libs = self.folder / "kafka/libs"
        copy = "dependency:copy-dependencies -DincludeScope=runtime"
        self.place.run(f"mvn -q -B -f {WORKER_POM} {copy} -DoutputDirectory={libs}\n", self.folder)
        script = self.folder / "kafka/bin/connect-standalone.sh"
        script.parent.mkdir()
        script.write_text(START)
        script.chmod(0o755)

    def build(self) -> None:
        """What the page's ``mvn package`` makes is there already: ``install`` has run it."""
        build, *others = without_clone(command_of(CONNECT_PAGE, "git clone")).splitlines(keepends=True)
        self.assertEqual(build, "mvn -q -DskipTests -f lfsproxy/sdk/java package\n")
        self.place.run("".join(others), self.folder)

    def follow(self) -> tuple[str, Any, Any]:
        """The page from top to bottom: what is in the file, the connector's status, the plugins."""
        self.build()
        self.run_block("worker.properties <<")
        self.run_block("sink.properties <<")
        self.run_block("seq ")
        start = "export KAFKA_HOME=/opt/kafka\n" + command_of(CONNECT_PAGE, "connect-standalone.sh")
        worker = ServerProcess("the Connect worker", self.folder / "worker.log")
        self.addCleanup(worker.kill)
        worker.start(
            ["bash", "-euc", replaced(start, self.instead)],
            ready=self.is_done,
            timeout=180,
            cwd=self.folder,
            env=self.place.environment(),
        )
        shown = self.run_block("cmp - numbers.txt")
        return shown, self.asked("connectors/blobs-to-file/status"), self.asked("connector-plugins")

    def is_done(self) -> bool:
        sent, written = self.folder / "numbers.txt", self.folder / "blobs.txt"
        return written.exists() and written.stat().st_size >= sent.stat().st_size

    def asked(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.rest}/{path}?connectorsOnly=false", timeout=30) as answer:
            return json.load(answer)

    async def test_an_uploaded_file_comes_out_of_a_sink(self) -> None:
        await in_thread(self.make_kafka_folder)
        shown, status, plugins = await in_thread(self.follow)
        self.assertIn("the sink has the text", shown)
        self.assertEqual([task["state"] for task in status["tasks"]], ["RUNNING"])
        # Only by its service file: the worker does not scan.
        self.assertIn(CONVERTER, [plugin["class"] for plugin in plugins])
