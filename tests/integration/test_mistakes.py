"""What a real proxy says to the usual mistakes: in words, with the setting that is wrong, and once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.integration.mistakes import Said, make_all, mistakes
from tests.integration.secured import secured
from tests.integration.stack import in_thread

NOTATION = (
    "('",
    "[(",
    "b'",
    "Error(",
    "<class",
    "Traceback",
    "object at 0x",
    "Error:",
    "<lfsproxy",
    "host='",
)
"""Python's, which no user should have to read."""

SAYS = {
    "https to a plain http port": r"does not speak TLS at that port; if it is plain http, set LFS_S3_",
    "http to an https port": r"; if it is https, set LFS_S3_ENDPOINT=https:",
    "S3 certificate of a private authority": r"certificate into the PEM file that LFS_S3_CA names",
    "S3 certificate without the endpoint's name": r"certificate is for other\.example, not for localhost",
    "nothing listens at the S3 endpoint": r"\(LFS_S3_ENDPOINT\) cannot be reached: connection refused",
    "unknown host of the S3 endpoint": r"the host minio\.invalid is not known",
    "bucket in the host name, which DNS does not know": r"LFS_S3_PATH_STYLE=true",
    "the S3 endpoint is another web server": r"404 \(text/html, nginx\), but not as an S3 server does",
    "this machine's clock is wrong": r"this machine's clock is 120 minutes behind S3's: set the clock",
    "the S3 user may not use the bucket": r"AccessDenied: Access Denied; let these credentials",
    "wrong region": r"set LFS_S3_REGION=eu-west-1 \(it is us-east-1\)",
    "unknown S3 access key": r"InvalidAccessKeyId: .*; check AWS_ACCESS_KEY_ID",
    "wrong S3 secret key": r"SignatureDoesNotMatch: .*; check AWS_SECRET_ACCESS_KEY",
    "no S3 credentials": r"no S3 credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "no such bucket": r"there is no bucket nowhere: create it, or correct LFS_S3_BUCKET",
    "SSL to a plaintext Kafka port": r"is that port for TLS\? LFS_KAFKA_SECURITY_PROTOCOL is SSL",
    "plaintext to an SSL Kafka port": r"its port wants SSL, and plaintext was sent",
    "plaintext to a Kafka port with SASL": r"if that port is for SASL, set LFS_KAFKA_SECURITY_PROTOCOL=SASL_",
    "SASL to a Kafka port without it": r"takes no sign-in: set LFS_KAFKA_SECURITY_PROTOCOL=PLAINTEXT",
    "wrong Kafka password": r"by PLAIN as 'proxy': Authentication failed: Invalid username or pass",
    "Kafka mechanism that is not offered": r"does not offer AWS_MSK_IAM \(LFS_KAFKA_SASL_MECHANISM\), but ",
    "unknown Kafka host": r"\(LFS_KAFKA_BROKERS\) cannot be reached: its host name is not known",
    "nothing listens at the Kafka address": r"\(LFS_KAFKA_BROKERS\) cannot be reached: connection refused",
    "the Kafka address is a web server": r"takes connections but gives no answer .*: the broker hangs, or ",
    "Kafka certificate of a private authority": r"into the PEM file that LFS_KAFKA_TLS_CA names",
    "Kafka certificate for another name": r"its certificate is for other\.example, not for 127\.0\.0\.1",
    "only a Kafka controller is named": r"is a Kafka controller, not a broker: name only brokers in",
}
"""By mistake, what /readyz says of it."""


class MistakeTests(TestCase):
    timeout = 900

    def test_the_docs_show_what_is_said(self) -> None:
        page = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
        for mistake, words in SAYS.items():
            (row,) = [line for line in page.read_text().splitlines() if line.startswith(f"| {mistake} |")]
            self.assertRegex(row, words)

    async def test_every_mistake_is_said_in_words_with_its_way_out_and_once(self) -> None:
        servers = await secured()

        def make() -> list[Said]:
            with mistakes(servers) as listed:
                return make_all(listed, servers.stack.environment)

        said = await in_thread(make)
        self.assertEqual({one.mistake.name for one in said}, set(SAYS))
        wrong = [f"{one.mistake.name}: {fault}" for one in said for fault in _faults(one)]
        self.assertEqual(wrong, [])


def _faults(said: Said) -> list[str]:
    """What is wrong with what was said."""
    faults = [f"Python's notation: {line}" for line in said.lines if any(text in line for text in NOTATION)]
    if not re.search(SAYS[said.mistake.name], "\n".join(said.problems)):
        faults.append(f"/readyz says {said.problems}")
    if not re.search(SAYS[said.mistake.name], said.upload):
        faults.append(f"the upload says {said.upload}")
    troubles = [line for line in said.log if "cannot be used, not ready" in line]
    faults += [f"said {count} times: {line}" for line, count in Counter(troubles).items() if count > 1]
    if len(troubles) != 1:
        faults.append(f"{len(troubles)} lines of one trouble: {troubles}")
    faults += [f"no reason: {line}" for line in said.log if line.rstrip().endswith(":")]
    return faults
