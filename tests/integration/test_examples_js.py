"""The examples of docs/sdk/javascript.md, run from an empty project against the real Kafka and S3 server."""

from __future__ import annotations

import json
import shutil
from typing import Any

import attrs
from confluent_kafka import Producer
from kafka import KafkaProducer
from twisted.internet import reactor
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from lfsproxy.client import lfs_headers
from lfsproxy.client.recognise import recognise
from tests.integration.clients.python import read_topic
from tests.integration.example_places import BLOB, Places, places
from tests.integration.examples import Project, project_for
from tests.integration.stack import in_thread
from tests.integration.test_examples_go import LARGE, built, go_project
from tests.sdks.tools import require_tools

READ = """\
import {{ bytesOf }} from "./{name}";

const bytes = await bytesOf(...{arguments});
console.log(bytes.length);
"""


CRASHES = """
consumer.on(consumer.events.CRASH, ({ payload: { restart, error } }) => {
  console.log("crash", restart, error.cause.code);
});
"""


class Presigner(Resource):
    """A server that presigns, as the page's own would: /presign?key=..."""

    isLeaf = True

    def __init__(self, here: Places) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of Twisted
        self._here = here

    def render_GET(self, request: Request) -> bytes:
        arguments: Any = request.args
        key = arguments[b"key"][0].decode()
        s3 = self._here.servers.s3_client()
        place = {"Bucket": self._here.servers.bucket, "Key": key}
        return s3.generate_presigned_url("get_object", Params=place).encode()


class JavaScriptTests(TestCase):
    timeout = 600

    async def project(self) -> Project:
        require_tools("javascript", ("node", "npm"))
        return await project_for("js")

    async def test_consume(self) -> None:
        project, here = await self.project(), await places("js-consume")
        await here.fill()
        program = project.paste("consume.mjs", here.group("demo"))
        self.assertEqual(
            await self.printed(["node", program], 3),
            [f"0 image/png {len(BLOB)}", "1 undefined 8", f"2 image/png {len(BLOB)}"],
        )

    async def printed(self, command: list[str], count: int) -> list[str]:
        """The first lines that are not kafkajs's log."""
        project = await self.project()
        quiet = ["env", "KAFKAJS_LOG_LEVEL=nothing", "KAFKAJS_NO_PARTITIONER_WARNING=1", *command]
        return await project.lines_of(quiet, count)

    async def test_produce(self) -> None:
        project, here = await self.project(), await places("js-produce")
        program = project.paste("produce.mjs", here.kafka)
        self.assertEqual(await self.printed(["node", program], 1), ["published at 0:0"])
        consume = project.paste("consume.mjs", here.group("demo"))
        self.assertEqual(await self.printed(["node", consume], 1), [f"0 text/plain {10 * 1024 * 1024}"])

    async def test_upload(self) -> None:
        project, here = await self.project(), await places("js-upload")
        (project.folder / "large-file.bin").write_bytes(BLOB)
        program = project.paste("upload.mjs", here.http)
        self.assertEqual(await project.output_of(["node", program]), "published at 0:0\n")

    async def test_stream(self) -> None:
        project, here = await self.project(), await places("js-stream")
        await here.fill()
        program = project.paste("stream.mjs", here.group("files"))
        self.assertEqual(
            await self.printed(["node", program], 3), ["wrote blob-0", "wrote blob-1", "wrote blob-2"]
        )
        self.assertEqual((project.folder / "blob-0").read_bytes(), BLOB)
        self.assertEqual((project.folder / "blob-1").read_bytes(), b"ordinary")

    async def test_only_what_is_wanted(self) -> None:
        project, here = await self.project(), await places("js-lazy")
        await here.fill()
        program = project.paste("lazy.mjs", here.group("images"))
        image = f"is an image of {len(BLOB)} bytes"
        self.assertEqual(
            await self.printed(["node", program], 3), [f"0 {image}", "1 is not an image", f"2 {image}"]
        )

    async def test_many_at_once(self) -> None:
        project, here = await self.project(), await places("js-batch")
        await here.fill()
        program = project.paste("batch.mjs", here.group("batches"))
        self.assertEqual(
            await self.printed(["node", program], 3), [f"0 {len(BLOB)}", "1 8", f"2 {len(BLOB)}"]
        )

    async def test_a_poison_pill_is_put_aside(self) -> None:
        project, here = await self.project(), await places("js-poison")
        first, _ = await here.fill()
        await here.lose(first)
        dead = await here.servers.new_topic("js-dead")
        program = project.paste("poison.mjs", {**here.group("careful"), "dead-letters": dead})
        self.assertEqual(
            await self.printed(["node", program], 3),
            ["0 put aside: blob-missing", "1 8", f"2 {len(BLOB)}"],
        )
        (record,) = await in_thread(read_topic, here.servers.kafka.bootstrap, dead)
        self.assertEqual(record.value, first.envelope.to_bytes())
        self.assertEqual(record.headers, (("error", b"blob-missing"),))

    async def test_a_poison_pill_that_is_not_caught_stops_the_consumer(self) -> None:
        project, here = await self.project(), await places("js-crash")
        first, _ = await here.fill()
        await here.lose(first)
        program = project.paste("consume.mjs", here.group("demo"))
        with (project.folder / program).open("a") as text:
            text.write(CRASHES)
        self.assertEqual(await self.printed(["node", program], 1), ["crash false blob-missing"])

    async def test_a_client_of_the_aws_sdk(self) -> None:
        project, here = await self.project(), await places("js-aws")
        await here.fill()
        await project.run_part("aws")
        program = project.paste("aws-client.mjs", here.group("aws"))
        self.assertEqual(
            await self.printed(["node", program], 3), [f"0 {len(BLOB)}", "1 8", f"2 {len(BLOB)}"]
        )

    async def test_marking_by_size(self) -> None:
        project, here = await self.project(), await places("js-mark")
        program = project.paste("mark.mjs", here.kafka)
        self.assertEqual(await self.printed(["node", program], 1), ["published"])
        small, large = await in_thread(read_topic, here.servers.kafka.bootstrap, here.topic)
        self.assertEqual(small.value, b"an ordinary value")
        envelope = recognise(large.value)
        assert envelope is not None
        self.assertEqual((envelope.content_length, envelope.checksum_algo), (2 * 1024 * 1024, "sha256"))

    async def test_prometheus(self) -> None:
        project, here = await self.project(), await places("js-prometheus")
        await here.fill()
        await project.run_part("metrics")
        program = project.paste("metrics.mjs", here.group("measured"))
        lines = await project.lines_of(["node", program], 1, having='result="ok"} 2')
        self.assertEqual(lines, [f'lfs_client_reads_total{{topic="{here.topic}",result="ok"}} 2'])

    async def test_opentelemetry(self) -> None:
        project, here = await self.project(), await places("js-telemetry")
        await here.fill()
        await project.run_part("opentelemetry")
        program = project.paste("opentelemetry.mjs", here.group("telemetry"))
        await project.lines_of(["node", program], 1, having="lfs.client.read.bytes")

    async def test_a_deadline(self) -> None:
        project, here = await self.project(), await places("js-deadline")
        first, _ = await here.fill()
        program = project.paste("deadline.mjs", {})
        value = json.dumps(first.envelope.to_bytes().decode())
        await self.assert_read(project, program, f"[{{ value: Buffer.from({value}) }}]")

    async def test_a_double_of_the_store(self) -> None:
        project = await self.project()
        said = await project.output_of(["node", "--test", project.paste("store-double.mjs", {})])
        self.assertIn("# pass 2\n", said)

    async def test_a_bundle_for_browsers(self) -> None:
        project, here = await self.project(), await places("js-bundle")
        first, _ = await here.fill()
        project.paste("browser-proxy.mjs", {"http://localhost:8080": here.proxy.http})
        await project.run_part("bundle")
        self.assertNotIn("node:", (project.folder / "page.mjs").read_text())
        place = {"topic": here.topic, "partition": 0, "offset": 0}
        value = first.envelope.to_bytes().decode()
        await self.assert_read(
            project, "page.mjs", f"[new TextEncoder().encode({json.dumps(value)}), {json.dumps(place)}]"
        )

    async def test_reading_by_the_proxy(self) -> None:
        project, here = await self.project(), await places("js-proxy")
        first, _ = await here.fill()
        program = project.paste("browser-proxy.mjs", {"http://localhost:8080": here.proxy.http})
        place = {"topic": here.topic, "partition": 0, "offset": 0}
        value = first.envelope.to_bytes().decode()
        await self.assert_read(
            project, program, f"[new TextEncoder().encode({json.dumps(value)}), {json.dumps(place)}]"
        )

    async def test_reading_by_presigned_urls(self) -> None:
        project, here = await self.project(), await places("js-presigned")
        first, _ = await here.fill()
        listen: Any = reactor.listenTCP
        port = listen(0, Site(Presigner(here)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        ours = f"http://127.0.0.1:{port.getHost().port}"
        program = project.paste("browser-presigned.mjs", {"https://my-server.example": ours})
        value = first.envelope.to_bytes().decode()
        await self.assert_read(project, program, f"[new TextEncoder().encode({json.dumps(value)})]")

    async def assert_read(self, project: Project, program: str, arguments: str) -> None:
        (project.folder / "read.mjs").write_text(READ.format(name=program, arguments=arguments))
        self.assertEqual(await project.output_of(["node", "read.mjs"]), f"{len(BLOB)}\n")

    async def test_snappy(self) -> None:
        """Of librdkafka as it is, as franz-go's, and of kafka-python in xerial's blocks, as Java's."""
        project, here = await self.project(), await places("js-snappy")
        await in_thread(produce_snappy, here)
        without = project.paste("consume.mjs", {**here.kafka, '"demo"': '"without"'})
        said = ["env", "KAFKAJS_LOG_LEVEL=error", "sh", "-c", f"exec node {without} 2>&1"]
        await project.lines_of(said, 1, having="Snappy compression not implemented")
        program, codec = project.paste("consume.mjs", here.group("demo")), project.paste("snappy.mjs", {})
        await project.run_part("snappy")
        self.assertEqual(
            await self.printed(["node", "--import", f"./{codec}", program], 2),
            [f"0 text/plain {len(BLOB)}", f"1 text/plain {len(BLOB)}"],
        )

    async def test_what_franz_go_compresses(self) -> None:
        go = await go_project()
        project, here = await self.project(), await places("js-franz")
        await go.run_part("franz")
        await go.output_of(await built("produce.go", here.kafka))
        await project.run_part("snappy")
        program, codec = project.paste("consume.mjs", here.group("demo")), project.paste("snappy.mjs", {})
        self.assertEqual(
            await self.printed(["node", "--import", f"./{codec}", program], 1), [f"0 image/png {LARGE}"]
        )

    async def test_a_plain_install_of_the_folder_builds_it(self) -> None:
        project, here = await self.project(), await places("js-folder")
        library = project.folder.parent / "lfsproxy" / "sdk" / "js"
        for built_there in ("dist", "node_modules"):
            shutil.rmtree(library / built_there)
        empty = attrs.evolve(project, folder=project.folder.parent / "linked")
        empty.folder.mkdir()
        await empty.run_part("folder")
        (empty.folder / "large-file.bin").write_bytes(BLOB)
        program = empty.paste("upload.mjs", here.http)
        self.assertEqual(await empty.output_of(["node", program]), "published at 0:0\n")


def produce_snappy(here: Places) -> None:
    """Two marked records in compressed batches, through the proxy."""
    headers = lfs_headers(content_type="text/plain")
    raw = Producer(
        {
            "bootstrap.servers": here.proxy.bootstrap,
            "compression.type": "snappy",
            "message.max.bytes": 10_000_000,
            "broker.address.family": "v4",
        }
    )
    raw.produce(here.topic, BLOB, headers=[*headers])
    raw.flush(60)
    xerial = KafkaProducer(bootstrap_servers=here.proxy.bootstrap, compression_type="snappy")
    xerial.send(here.topic, BLOB, headers=headers).get(60)
    xerial.close()
