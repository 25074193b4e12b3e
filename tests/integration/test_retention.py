"""docs/operate/retention.md: its rules are taken by a store, and versioned and locked buckets can be used."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from twisted.trial.unittest import TestCase

from lfsproxy.devstack import S3Server
from tests.integration.minio_users import shared_minio
from tests.integration.proxy import ProxyProcess, started
from tests.integration.rights import EXAMPLES, MIB, failing, fetch, resumable_upload, upload
from tests.integration.stack import BUCKET, Stack, in_thread, s3_client, stack
from tests.integration.tus import ask, create, patch

DAY_MS = 24 * 3600 * 1000


def rules_of(name: str) -> list[dict[str, Any]]:
    """The rules of a file that the page shows."""
    found: list[dict[str, Any]] = json.loads((EXAMPLES / name).read_text())["Rules"]
    return found


class RuleTests(TestCase):
    timeout = 60

    async def set_rules(self, rules: list[dict[str, Any]]) -> None:
        """Give MinIO the rules, and see that it has them."""
        client = s3_client(await shared_minio())
        configuration: Any = {"Rules": rules}
        await in_thread(
            client.put_bucket_lifecycle_configuration, Bucket=BUCKET, LifecycleConfiguration=configuration
        )
        self.addCleanup(in_thread, client.delete_bucket_lifecycle, Bucket=BUCKET)
        kept = await in_thread(client.get_bucket_lifecycle_configuration, Bucket=BUCKET)
        self.assertEqual(kept["Rules"], rules)

    async def test_every_rule_is_one_of_the_s3_api(self) -> None:
        client = s3_client((await stack()).s3)
        shape: Any = client.meta.service_model.operation_model("PutBucketLifecycleConfiguration").input_shape
        for name in ("s3-lifecycle.json", "s3-lifecycle-tags.json", "s3-lifecycle-versions.json"):
            given = {"Bucket": BUCKET, "LifecycleConfiguration": {"Rules": rules_of(name)}}
            self.assertEqual(ParamValidator().validate(given, shape).generate_report(), "")

    async def test_minio_takes_the_rules_but_for_the_one_that_it_has_a_setting_for(self) -> None:
        unfinished, *others = rules_of("s3-lifecycle.json")
        self.assertIn("AbortIncompleteMultipartUpload", unfinished)
        await self.set_rules(others)
        with self.assertRaises(ClientError):
            await self.set_rules([unfinished])

    async def test_minio_takes_the_rules_by_tag(self) -> None:
        await self.set_rules(rules_of("s3-lifecycle-tags.json"))

    async def test_minio_takes_the_rules_for_old_versions(self) -> None:
        await self.set_rules(rules_of("s3-lifecycle-versions.json"))

    async def test_the_blobs_outlive_the_page_s_topic(self) -> None:
        settings = dict(pair.split("=") for pair in self.topic_settings().split(","))
        (rule,) = [each for each in rules_of("s3-lifecycle.json") if each["ID"] == "blobs-of-clips"]
        longest = int(settings["retention.ms"]) + int(settings["segment.ms"])
        self.assertEqual(rule["Expiration"]["Days"] * DAY_MS, longest + DAY_MS)

    def topic_settings(self) -> str:
        page = (EXAMPLES.parents[1] / "docs" / "operate" / "retention.md").read_text()
        return page.partition("--add-config ")[2].partition("\n")[0]


class BucketTests(TestCase):
    """The proxy in front of a bucket with versions and object lock, which MinIO has both."""

    timeout = 120

    async def bucket(self, server: S3Server) -> str:
        client = s3_client(server)
        await in_thread(client.create_bucket, Bucket="locked", ObjectLockEnabledForBucket=True)
        retention: Any = {"Mode": "GOVERNANCE", "Days": 1}
        await in_thread(
            client.put_object_lock_configuration,
            Bucket="locked",
            ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}},
        )
        return "locked"

    async def test_a_locked_bucket_can_be_used_and_what_is_deleted_stays_as_a_version(self) -> None:
        server = await shared_minio()
        servers = Stack((await stack()).kafka, server, await self.bucket(server))
        proxy = await started(self, ProxyProcess({**servers.environment, "LFS_S3_PART_SIZE": str(5 * MIB)}))
        topic = await servers.new_topic("locked")
        tight = await servers.new_topic("tight", config={"max.message.bytes": "100"})
        first = f"/v1/topics/{topic}/partitions/0/records/0"
        steps = {
            "upload": lambda: upload(proxy, topic, b"hello")[0] == 201,
            "upload in parts": lambda: upload(proxy, topic, bytes(11 * MIB))[0] == 201,
            "download": lambda: fetch(proxy, first) == (200, b"hello"),
            "resumable upload": lambda: resumable_upload(proxy, topic),
            "cancel": lambda: self.cancel(proxy, topic),
            "refusal": lambda: upload(proxy, tight, b"refused")[0] == 413,
        }
        self.assertEqual(await in_thread(failing, steps), set())
        client, prefix = s3_client(server), f"lfs/default/{tight}/"
        listed = await in_thread(client.list_objects_v2, Bucket=servers.bucket, Prefix=prefix)
        self.assertEqual(listed["KeyCount"], 0)
        kept = await in_thread(client.list_object_versions, Bucket=servers.bucket, Prefix=prefix)
        self.assertEqual((len(kept["Versions"]), kept["Versions"][0]["Size"]), (1, len(b"refused")))

    def cancel(self, proxy: ProxyProcess, topic: str) -> bool:
        path = create(proxy, topic, 12 * MIB)
        return patch(proxy, path, 0, bytes(6 * MIB)).status == ask(proxy, "DELETE", path, {}).status == 204
