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
