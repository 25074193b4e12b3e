"""Mistakes that people make with S3 and Kafka, each made with a real proxy, and what the proxy says to it.

    python -m tests.integration.mistakes           # the table of docs/troubleshooting.md, as Markdown

For each the proxy is started by ``lfsproxy serve``, asked for /readyz until it knows what is wrong, given an
upload, and stopped; its log, that answer and the upload's are what it says.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from lfsproxy.devstack import KafkaServer, S3Server
from lfsproxy.devstack.ports import HOST, free_port
from tests.certificates import Authority
from tests.integration.secured import SecuredKafka
from tests.integration.stack import BUCKET, Stack
from tests.integration.wrong_servers import other_web_server, s3_that_refuses

LFSPROXY = Path(sys.executable).parent / "lfsproxy"
KNOWN_SECONDS = 90.0
AT_ONCE = 4
_UNKNOWN = ("has not answered yet", "were not asked yet")
_INHERITED = re.compile(r"LFS_|AWS_|.*_PROXY$", re.IGNORECASE)


@attrs.frozen
class Mistake:
    """What somebody did, and the variables that it is (besides those of a setup that works)."""

    name: str
    environment: Mapping[str, str]


@attrs.frozen
class Said:
    """What the proxy said to a mistake: its log, the problems of /readyz, the answer to an upload."""

    mistake: Mistake
    log: Sequence[str]
    problems: Sequence[str]
    upload: str

    @property
    def lines(self) -> list[str]:
        """Everything that a user reads."""
        return [*self.log, *self.problems, self.upload]


class Proxy:
    """``lfsproxy serve`` with the variables of a mistake."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lfsproxy-mistake-")
        self._log = Path(self._folder.name, "log")
        http, metrics, kafka = (free_port() for _ in range(3))
        self.url = f"http://{HOST}:{http}"
        inherited = {name: text for name, text in os.environ.items() if not _INHERITED.match(name)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [LFSPROXY, "serve"],
                cwd=self._folder.name,
                env={
                    **inherited,
                    "HOME": self._folder.name,
                    "AWS_EC2_METADATA_DISABLED": "true",
                    "LFS_HTTP_ADDR": f"{HOST}:{http}",
                    "LFS_METRICS_ADDR": f"{HOST}:{metrics}",
                    "LFS_KAFKA_ADDR": f"{HOST}:{kafka}",
                    "LFS_S3_RETRY_TIMEOUT": "3",
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def problems(self) -> list[str]:
        """What /readyz complains of, once everything was asked. Blocks."""
        deadline = time.monotonic() + KNOWN_SECONDS
        found = ["nothing answers"]
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                _, body = self._ask("/readyz", None)
                found = json.loads(body).get("problems", [])
            except OSError:
                found = ["nothing answers"]
            if not any(part in text for text in found for part in (*_UNKNOWN, "nothing answers")):
                return found
            time.sleep(0.2)
        return found

    def upload(self) -> str:
        """The answer to an upload."""
        try:
            status, body = self._ask("/v1/topics/mistakes/records", b"a payload")
        except OSError as error:
            return str(error)
        detail = json.loads(body).get("detail", "")
        return f"{status}: {detail}" if status >= 300 else str(status)

    def _ask(self, path: str, body: bytes | None) -> tuple[int, bytes]:
        request = urllib.request.Request(self.url + path, body)
        request.add_header("Content-Type", "application/octet-stream")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=90) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def log(self) -> list[str]:
        """Its lines, without time and namespace."""
        return [
            re.sub(r"^\d{4}-\S+ \[[^\]]*\] ", "", line)
            for line in self._log.read_text(errors="replace").splitlines()
        ]

    def stop(self) -> None:
        """End it in order."""
        self._process.terminate()
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Remove its files."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


def make(mistake: Mistake, right: Mapping[str, str], watched: float = 0.0) -> Said:
    """Make the mistake, in a setup that is right besides. ``watched``: for how many seconds more."""
    proxy = Proxy({**right, **mistake.environment})
    try:
        problems = proxy.problems()
        upload = proxy.upload()
        time.sleep(watched)
        proxy.stop()
        return Said(mistake, proxy.log(), problems, upload)
    finally:
        proxy.close()


def make_all(mistakes: Sequence[Mistake], right: Mapping[str, str]) -> list[Said]:
    """Make them all, a few at a time. Blocks."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda each: make(each, right), mistakes))


@contextmanager
def mistakes(servers: SecuredKafka) -> Iterator[list[Mistake]]:
    """All of them, with the wrong servers that they need, which end with the context. Blocks."""
    with ExitStack() as ending:
        https = S3Server(https=True)
        ending.callback(https.close)
        https.start()
        https.create_bucket(BUCKET)
        web = other_web_server()
        misnamed = other_web_server(Authority(servers.folder, "s3-ca").issue("other.example"))
        skewed = s3_that_refuses(
            "RequestTimeTooSkewed",
            "The difference between the request time and the server's time is too large.",
            hours=2,
        )
        denied = s3_that_refuses("AccessDenied", "Access Denied")
        # Not every store looks at the region.
        elsewhere = s3_that_refuses(
            "AuthorizationHeaderMalformed",
            "The authorization header is malformed; the region is wrong; expecting 'eu-west-1'.",
            status=400,
            headers={"x-amz-bucket-region": "eu-west-1"},
        )
        wrong = (web, misnamed, skewed, denied, elsewhere)
        for each in wrong:
            ending.callback(each.close)
        yield [
            *_s3_mistakes(servers, https, *(each.port for each in wrong)),
            *_kafka_mistakes(servers, web.port),
        ]


def _s3_mistakes(
    servers: SecuredKafka,
    https: S3Server,
    web: int,
    misnamed: int,
    skewed: int,
    denied: int,
    elsewhere: int,
) -> list[Mistake]:
    s3 = servers.stack.s3

    def endpoint(name: str, url: str, **more: str) -> Mistake:
        return Mistake(name, {"LFS_S3_ENDPOINT": url, **more})

    return [
        endpoint("https to a plain http port", s3.endpoint.replace("http:", "https:")),
        endpoint("http to an https port", https.endpoint.replace("https:", "http:")),
        endpoint("S3 certificate of a private authority", https.endpoint),
        endpoint(
            "S3 certificate without the endpoint's name",
            f"https://localhost:{misnamed}",
            LFS_S3_CA=str(servers.folder / "s3-ca.pem"),
        ),
        endpoint("nothing listens at the S3 endpoint", f"http://localhost:{free_port()}"),
        endpoint("unknown host of the S3 endpoint", "http://minio.invalid:9000"),
        endpoint(
            "bucket in the host name, which DNS does not know",
            "http://minio.invalid:9000",
            LFS_S3_PATH_STYLE="false",
        ),
        endpoint("the S3 endpoint is another web server", f"http://localhost:{web}"),
        endpoint("this machine's clock is wrong", f"http://localhost:{skewed}"),
        endpoint("the S3 user may not use the bucket", f"http://localhost:{denied}"),
        endpoint("wrong region", f"http://localhost:{elsewhere}"),
        Mistake("unknown S3 access key", {"AWS_ACCESS_KEY_ID": "nobody"}),
        Mistake("wrong S3 secret key", {"AWS_SECRET_ACCESS_KEY": "wrong-secret"}),
        Mistake("no S3 credentials", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}),
        Mistake("no such bucket", {"LFS_S3_BUCKET": "nowhere"}),
    ]


def _kafka_mistakes(servers: SecuredKafka, web: int) -> list[Mistake]:
    kafka: KafkaServer = servers.kafka

    def brokers(name: str, address: str, protocol: str = "PLAINTEXT", **more: str) -> Mistake:
        return Mistake(name, {"LFS_KAFKA_BROKERS": address, "LFS_KAFKA_SECURITY_PROTOCOL": protocol, **more})

    ca = {"LFS_KAFKA_TLS_CA": str(servers.authority.file)}
    plain = {
        "LFS_KAFKA_SASL_MECHANISM": "PLAIN",
        "LFS_KAFKA_SASL_USERNAME": "proxy",
        "LFS_KAFKA_SASL_PASSWORD": "proxy-password",
    }
    return [
        brokers("SSL to a plaintext Kafka port", kafka.bootstrap, "SSL"),
        brokers("plaintext to an SSL Kafka port", servers.address("MISNAMED")),
        brokers("plaintext to a Kafka port with SASL", servers.address("SASL")),
        brokers("SASL to a Kafka port without it", kafka.bootstrap, "SASL_PLAINTEXT", **plain),
        brokers(
            "wrong Kafka password",
            servers.address("SASL"),
            "SASL_PLAINTEXT",
            **{**plain, "LFS_KAFKA_SASL_PASSWORD": "wrong"},
        ),
        brokers(
            "Kafka mechanism that is not offered",
            servers.address("SASLTLS"),
            "SASL_SSL",
            **{**ca, "LFS_KAFKA_SASL_MECHANISM": "AWS_MSK_IAM"},
        ),
        brokers("unknown Kafka host", "kafka.invalid:9092"),
        brokers("nothing listens at the Kafka address", f"{HOST}:{free_port()}"),
        brokers("the Kafka address is a web server", f"{HOST}:{web}"),
        brokers("Kafka certificate of a private authority", servers.address("SASLTLS"), "SASL_SSL", **plain),
        brokers("Kafka certificate for another name", servers.address("MISNAMED"), "SSL", **ca),
        brokers("only a Kafka controller is named", f"{HOST}:{kafka.controller_port}"),
    ]


def table(said: Sequence[Said]) -> str:
    """A Markdown table: the mistake, and what /readyz says of it, with the usual ports."""
    rows = [f"| {one.mistake.name} | {_usual_ports('<br>'.join(one.problems))} |" for one in said]
    return "\n".join(["| mistake | `/readyz` |", "|---|---|", *rows])


def _usual_ports(text: str) -> str:
    return re.sub(r"\blocalhost:\d+", "localhost:9000", re.sub(r"\b127\.0\.0\.1:\d+", "127.0.0.1:9092", text))


def main() -> None:
    """Start the servers, make every mistake, and print what was said: all of it with --all."""
    kafka, s3 = KafkaServer(), S3Server()
    s3.start()
    s3.create_bucket(BUCKET)
    servers = SecuredKafka(Stack(kafka, s3, BUCKET))
    try:
        servers.kafka.start()
        with mistakes(servers) as all_of_them:
            wanted = [one for one in all_of_them if any(text in one.name for text in sys.argv[2:] or [""])]
            said = make_all(wanted, servers.stack.environment)
    finally:
        servers.close()
        s3.close()
        kafka.close()
    if "--all" in sys.argv:
        for one in said:
            print(f"\n== {one.mistake.name}", *one.log, "-- readyz", *one.problems, "-- upload", sep="\n")
            print(one.upload)
    else:
        print(table(said))


if __name__ == "__main__":
    main()
