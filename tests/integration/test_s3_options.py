"""How objects are made, and credentials that change, with the proxy as a process and real S3 servers.

It takes some fifteen seconds.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from lfsproxy.devstack import S3Server
from tests.integration.http_faults import unfinished
from tests.integration.minio_users import actions_of, create_user, disable_user, read_policy, set_policy
from tests.integration.proxy import ProxyProcess, own_proxy, started
from tests.integration.rights import EXAMPLES, MIB, fetch, resumable_upload, upload
from tests.integration.stack import BUCKET, Stack, in_thread, s3_client, stack
from tests.integration.stores import KMS_KEY, shared_store
from tests.integration.tus import until

PARTS = {"LFS_S3_PART_SIZE": str(5 * MIB)}
LARGE = bytes(11 * MIB)
SECRET = "a-secret-of-the-user"


async def with_store(kind: str) -> Stack:
    """The shared Kafka, and a server of that kind."""
    return Stack((await stack()).kafka, await shared_store(kind), BUCKET)


def keys_of(servers: Stack, topic: str) -> list[str]:
    """The keys of a topic's blobs. Blocks."""
    listed = servers.s3_client().list_objects_v2(Bucket=BUCKET, Prefix=f"lfs/default/{topic}/")
    return [one["Key"] for one in listed.get("Contents", [])]


class ObjectTests(TestCase):
    timeout = 120

    async def test_blobs_are_encrypted_with_the_kms_and_tagged_by_topic_and_read_as_ever(self) -> None:
        servers = await with_store("MinIO")
        topic = await servers.new_topic("options")
        proxy = await own_proxy(
            self,
            servers,
            **PARTS,
            LFS_S3_SSE="aws:kms",
            LFS_S3_SSE_KMS_KEY_ID=KMS_KEY,
            LFS_S3_TAGS="topic={topic},team=media and more",
        )
        for body in (b"small", LARGE):
            status, said = await in_thread(upload, proxy, topic, body)
            self.assertEqual(status, 201, said)
        self.assertTrue(await in_thread(resumable_upload, proxy, topic))
        keys = await in_thread(keys_of, servers, topic)
        self.assertEqual(len(keys), 3)
        for key in keys:
            await in_thread(self.assert_made_so, s3_client(servers.s3), key, topic)
        place = f"/v1/topics/{topic}/partitions/0/records"
        for offset, body in enumerate((b"small", LARGE)):
            for query in ("", "?presign=true"):
                status, got = await in_thread(fetch, proxy, f"{place}/{offset}{query}")
                self.assertTrue((status, got) == (200, body), f"{offset}{query}: {status}")

    def assert_made_so(self, client: Any, key: str, topic: str) -> None:
        head = client.head_object(Bucket=BUCKET, Key=key)
        self.assertEqual(head["ServerSideEncryption"], "aws:kms")
        tags = client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
        self.assertEqual(
            {tag["Key"]: tag["Value"] for tag in tags}, {"topic": topic, "team": "media and more"}
        )

    async def test_the_policy_for_tags_suffices(self) -> None:
        """MinIO does not ask for s3:PutObjectTagging, so that it is not missed here as it is at AWS."""
        servers = await with_store("MinIO")
        policy = read_policy(EXAMPLES / "s3-proxy-tags-policy.json")
        self.assertIn("s3:PutObjectTagging", actions_of(policy))
        await in_thread(set_policy, servers.s3, "tagging", policy)
        await in_thread(create_user, servers.s3, "tagger", SECRET, "tagging")
        topic = await servers.new_topic("options")
        keys = {"AWS_ACCESS_KEY_ID": "tagger", "AWS_SECRET_ACCESS_KEY": SECRET}
        proxy = await own_proxy(self, servers, **PARTS, **keys, LFS_S3_TAGS="topic={topic}")
        for body in (b"small", LARGE):
            self.assertEqual((await in_thread(upload, proxy, topic, body))[0], 201)

    async def test_a_store_that_only_says_that_it_encrypts_gets_no_blob(self) -> None:
        servers = await with_store("Versity S3 Gateway")
        topic = await servers.new_topic("options")
        proxy = await own_proxy(self, servers, **PARTS, LFS_S3_SSE="AES256")
        for body in (b"small", LARGE):
            status, said = await in_thread(upload, proxy, topic, body)
            self.assertEqual((status, b"has not encrypted so" in said), (502, True), said)
        self.assertEqual(await in_thread(keys_of, servers, topic), [])
        self.assertEqual(await in_thread(unfinished, servers.s3), set())


class RotationTests(TestCase):
    timeout = 120

    async def test_an_upload_in_flight_goes_on_with_the_credentials_of_a_file_that_changes(self) -> None:
        servers = await with_store("MinIO")
        server = servers.s3
        policy = read_policy(EXAMPLES / "s3-proxy-policy.json")
        await in_thread(set_policy, server, "rotated", policy)
        for name in ("user-1", "user-2"):
            await in_thread(create_user, server, name, SECRET, "rotated")
        file = Path(self.mktemp())
        write_profile(file, "user-1")
        topic = await servers.new_topic("rotation")
        proxy = await started(self, ProxyProcess({**without_keys(servers), **PARTS, **profile_in(file)}))

        def body() -> Iterator[bytes]:
            yield LARGE
            wait_for_parts(proxy)
            write_profile(file, "user-2")
            disable_user(server, "user-1")
            yield LARGE

        self.assertEqual(await in_thread(post, proxy, topic, body()), 201)
        self.assertTrue(await in_thread(resumable_upload, proxy, topic))
        self.assertEqual(await in_thread(unfinished, server), set())


def without_keys(servers: Stack) -> dict[str, str]:
    """The settings, without credentials."""
    return {name: value for name, value in servers.environment.items() if not name.startswith("AWS_")}


def profile_in(file: Path) -> dict[str, str]:
    return {"AWS_SHARED_CREDENTIALS_FILE": str(file.absolute()), "AWS_CONFIG_FILE": "/dev/null"}


def write_profile(file: Path, user: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(f"[default]\naws_access_key_id={user}\naws_secret_access_key={SECRET}\n")
    new.replace(file)


def wait_for_parts(proxy: ProxyProcess) -> None:
    """Until a part is stored: the upload is under way with the credentials at hand."""
    deadline = time.monotonic() + 30
    stored = 'lfsproxy_s3_operation_seconds_count{operation="upload_part",result="ok"}'
    while not proxy.metrics()[stored]:
        if time.monotonic() > deadline:
            raise AssertionError("no part was stored")
        time.sleep(0.1)


def post(proxy: ProxyProcess, topic: str, body: Iterator[bytes]) -> int:
    """The status of an upload of unknown length. Blocks."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.http_port, timeout=60)
    try:
        connection.request("POST", f"/v1/topics/{topic}/records", body, encode_chunked=True)
        return connection.getresponse().status
    finally:
        connection.close()


class Metadata(ThreadingHTTPServer):
    """Gives the credentials of a container, once it is let to answer."""

    daemon_threads = True

    def __init__(self, server: S3Server) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.answers = threading.Event()
        self.credentials = {
            "AccessKeyId": server.access_key,
            "SecretAccessKey": server.secret_key,
            "Token": "",
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)),
        }
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Answers(BaseHTTPRequestHandler):
    server: Metadata

    def do_GET(self) -> None:
        self.server.answers.wait(60)
        body = json.dumps(self.server.credentials).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            # Who asked may not have waited.
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class SlowTests(TestCase):
    timeout = 120

    async def starting(self, **settings: str) -> ProxyProcess:
        """A proxy that is alive, and waits for its credentials."""
        proxy = ProxyProcess({**without_keys(await stack()), **settings})
        self.addCleanup(in_thread, proxy.close)
        await in_thread(proxy.start, 30, lambda: is_alive(proxy))
        self.assertFalse(await in_thread(proxy.is_ready))
        return proxy

    async def test_while_metadata_hangs_the_proxy_serves_and_then_it_is_ready(self) -> None:
        metadata = Metadata((await stack()).s3)
        self.addCleanup(metadata.shutdown)
        url = f"http://127.0.0.1:{metadata.server_port}/role"
        proxy = await self.starting(AWS_CONTAINER_CREDENTIALS_FULL_URI=url, **profile_in(Path("/dev/null")))
        metadata.answers.set()
        await until(proxy.is_ready)

    async def test_a_program_that_hangs_does_not_hold_up_the_end(self) -> None:
        config = written(Path(self.mktemp()), "[default]\ncredential_process = sleep 60\n")
        proxy = await self.starting(AWS_CONFIG_FILE=config)
        # It fails where the process is still there after the time.
        await in_thread(proxy.stop, 30)


def written(file: Path, text: str) -> str:
    """The path of a new file."""
    file.write_text(text)
    return str(file.absolute())


def is_alive(proxy: ProxyProcess) -> bool:
    try:
        return fetch(proxy, "/healthz")[0] == 200
    except OSError:
        return False
