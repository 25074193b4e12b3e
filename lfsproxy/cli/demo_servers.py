"""What the demo runs: checks of the machine, then Kafka, S3 and the proxy, started and ended in order."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import attrs
import psutil

from lfsproxy.cli.demo_screen import MIB, Move, Screen
from lfsproxy.client.reader import BlobReader, static_credentials
from lfsproxy.devstack import DevstackError, KafkaServer, S3Server
from lfsproxy.devstack.cache import cache_folder
from lfsproxy.devstack.first_run import prepare, wanted_sets
from lfsproxy.devstack.jars import class_path, missing_bytes
from lfsproxy.devstack.java import find_java
from lfsproxy.devstack.ports import HOST, require_free
from lfsproxy.devstack.prepare import is_prepared
from lfsproxy.devstack.process import ServerProcess
from lfsproxy.devstack.s3 import LOCAL_KEY, REGION
from lfsproxy.devstack.tools import write_tools
from lfsproxy.settings import DEFAULTS

MEMORY_NEEDED = 1200 * MIB
"""Two Java processes and the proxy, measured, and some room."""
NODE = 1
TOPIC = "demo-topic"
WHOLE_TOPIC = "large-topic"
"""Its consumers get the blobs themselves, while those of TOPIC get envelopes."""
WHOLE_SETTINGS = {
    "LFS_OFFLOAD_THRESHOLD": "1000000",
    "LFS_HYDRATE_TOPICS": WHOLE_TOPIC,
    "LFS_HYDRATE_CLIENT_IDS": "*,!sdk-*,!mirror-*",
    "LFS_HYDRATE_MAX_SIZE": "400000000",
}
"""What makes the proxy do that. The user's own settings go first."""


@attrs.frozen(kw_only=True)
class Plan:
    """What was asked for. Sizes are in bytes; an empty address means a server of the demo's own."""

    kafka_port: int
    s3_port: int
    http_port: int
    proxy_port: int
    metrics_port: int
    data: Path | None
    file_size: int
    record_size: int
    whole_size: int
    kafka: str = ""
    s3_endpoint: str = ""
    bucket: str = DEFAULTS.s3_bucket


class Servers:
    """Everything that the demo started. ``close`` may be called at any time, and more than once."""

    def __init__(self, plan: Plan, screen: Screen, environ: Mapping[str, str] | None = None) -> None:
        self.plan = plan
        self._screen = screen
        self._environ = dict(os.environ if environ is None else environ)
        self._temporary = Path(tempfile.mkdtemp(prefix="lfsproxy-demo-")) if plan.data is None else None
        self.data = (plan.data or self._temporary or Path()).absolute()
        self.kafka: KafkaServer | None = None
        self.s3: S3Server | None = None
        self.tools: Path | None = None
        self._proxy = ServerProcess("The LFS Proxy", self.data / "lfsproxy.log")
        self.access_key = self._environ.get("AWS_ACCESS_KEY_ID") or LOCAL_KEY
        self._secret_key = self._environ.get("AWS_SECRET_ACCESS_KEY") or LOCAL_KEY
        if not plan.kafka:
            self.kafka = KafkaServer(data_dir=self.data / "kafka", port=plan.kafka_port, node_id=NODE)
        if not plan.s3_endpoint:
            self.s3 = S3Server(
                data_dir=self.data / "s3",
                port=plan.s3_port,
                access_key=self.access_key,
                secret_key=self._secret_key,
            )

    @property
    def brokers(self) -> str:
        """The bootstrap address of Kafka itself."""
        return self.plan.kafka or f"{HOST}:{self.plan.kafka_port}"

    @property
    def s3_endpoint(self) -> str:
        """The URL of the S3 server."""
        return self.s3.endpoint if self.s3 else self.plan.s3_endpoint

    @property
    def s3_environment(self) -> dict[str, str]:
        """The variables by which the proxy and readers find the S3 server."""
        found = {
            "LFS_S3_ENDPOINT": self.s3_endpoint,
            "LFS_S3_BUCKET": self.plan.bucket,
            "LFS_S3_PATH_STYLE": self._environ.get("LFS_S3_PATH_STYLE", "true"),
            "LFS_S3_REGION": self._environ.get("LFS_S3_REGION", REGION),
        }
        if self.s3:
            found |= {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self._secret_key}
        return found

    def reader(self) -> BlobReader:
        """A new reader of the bucket's blobs."""
        keys = static_credentials(self.access_key, self._secret_key) if self.s3 else None
        return BlobReader.from_environment({**self._environ, **self.s3_environment}, credentials=keys)

    def check_machine(self) -> None:
        """Raise DevstackError for a port in use, too little disk or too little memory."""
        plan = self.plan
        ports = [
            (plan.http_port, "the proxy's HTTP API", "LFS_DEMO_HTTP_PORT"),
            (plan.proxy_port, "the proxy's Kafka bootstrap", "LFS_DEMO_PROXY_PORT"),
            (plan.proxy_port + 1 + NODE, f"the proxy's port of broker {NODE}", "LFS_DEMO_PROXY_PORT"),
            (plan.metrics_port, "the proxy's metrics", "LFS_DEMO_METRICS_PORT"),
        ]
        if self.kafka:
            ports.append((plan.kafka_port, "Kafka", "LFS_DEMO_KAFKA_PORT"))
        if self.s3:
            ports.append((plan.s3_port, "S3", "LFS_DEMO_S3_PORT"))
        for port, purpose, variable in ports:
            require_free(port, purpose, variable)
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.data).free
        except OSError as error:
            raise DevstackError(
                f"The data folder {self.data} cannot be used ({error.strerror}): name another one in "
                "LFS_DEMO_DATA."
            ) from error
        # The blobs, the store's parts beside them while they are assembled, and Kafka's own files.
        needed = 2 * (plan.file_size + plan.record_size + plan.whole_size) + 200 * MIB
        if free < needed:
            raise DevstackError(
                f"{self.data} has {free // MIB} MiB free and the demo needs {needed // MIB} MiB: make room, "
                f"name "
                "another folder in LFS_DEMO_DATA, or make the file smaller by LFS_DEMO_FILE_SIZE."
            )
        memory = psutil.virtual_memory().available
        if (self.kafka or self.s3) and memory < MEMORY_NEEDED:
            raise DevstackError(
                f"{memory // MIB} MiB of memory are available and the demo needs {MEMORY_NEEDED // MIB} "
                f"MiB: close "
                "something, or use servers that run elsewhere by --kafka and --s3-endpoint."
            )

    def fetch(self) -> None:
        """Download what the cache lacks, showing how far it is."""
        names = wanted_sets(kafka=self.kafka is not None, s3=self.s3 is not None)
        if names:
            # Before a download that would be in vain.
            find_java()
        if total := missing_bytes(names):
            self._screen.say(f"The first run downloads Kafka and the S3 server to {cache_folder()}")
            with self._screen.moving("Downloading", total) as move:
                done = 0
                for name in names:
                    size = missing_bytes([name])
                    class_path(name, progress=partial(_advance, move, done))
                    done += size
        for name in names:
            if not is_prepared(name):
                self._screen.say(f"The first run archives the classes of {name}, for quick starts later")
                prepare(name)

    def start(self) -> None:
        """Start Kafka and S3, make the topic and the bucket, and start the proxy. Raises DevstackError."""
        if self.s3:
            self.s3.launch()
        if self.kafka:
            self.kafka.start()
            self._screen.say(f"Apache Kafka at {self.brokers}")
            self.kafka.create_topic(TOPIC)
            self.kafka.create_topic(WHOLE_TOPIC)
            self.tools = write_tools((self.plan.data or cache_folder()) / "bin", self.brokers)
        if self.s3:
            self.s3.wait()
            self.s3.create_bucket(self.plan.bucket)
            self._screen.say(f"{self.s3.kind} at {self.s3_endpoint}, bucket {self.plan.bucket}")
            if self.s3.notice:
                self._screen.say(self.s3.notice)
        self._start_proxy()
        self._screen.say(
            f"LFS Proxy at http://localhost:{self.plan.http_port} (HTTP) and "
            f"localhost:{self.plan.proxy_port} (Kafka)"
        )

    def _start_proxy(self) -> None:
        mine = {name: value for name, value in self._environ.items() if not name.startswith("LFS_DEMO_")}
        env = {**WHOLE_SETTINGS, **mine}
        if self.s3:
            # Of the user's own account, and nothing to the S3 server here.
            env.pop("AWS_SESSION_TOKEN", None)
            env.pop("AWS_PROFILE", None)
        env |= self.s3_environment
        env |= {
            "LFS_KAFKA_BROKERS": self.brokers,
            "LFS_HTTP_ADDR": f"{HOST}:{self.plan.http_port}",
            "LFS_KAFKA_ADDR": f"{HOST}:{self.plan.proxy_port}",
            "LFS_METRICS_ADDR": f"{HOST}:{self.plan.metrics_port}",
            "LFS_DRAIN_TIMEOUT": "3",
        }
        command = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
        self._proxy.start(
            [sys.executable, "-c", command, "-n", "--pidfile=", "lfsproxy"],
            ready=lambda: _is_ok(f"http://{HOST}:{self.plan.http_port}/readyz"),
            timeout=40,
            cwd=self.data,
            env=env,
        )

    def ended(self) -> str | None:
        """One sentence about a server that ended by itself, if one did."""
        for name, server in (("Kafka", self.kafka), ("The S3 server", self.s3), ("The proxy", self._proxy)):
            if server is not None and not server.running:
                return f"{name} ended by itself; the end of its log {server.log_path} may say why."
        return None

    def close(self) -> None:
        """End everything, the proxy first and in order, and remove temporary data."""
        self._proxy.stop(timeout=15)
        self.kill()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def kill(self) -> None:
        """End everything at once."""
        self._proxy.kill()
        for server in (self.kafka, self.s3):
            if server is not None:
                # Its data is either temporary, or survives this as it survives a crash.
                server.kill()


def _advance(move: Move, before: int, arrived: int, total: int) -> None:
    """A set of jars has ``arrived`` of its ``total``, after sets of ``before`` bytes."""
    move(before + arrived)


def _is_ok(url: str) -> bool:
    # No proxy of the environment stands between us and our own loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2):
            return True
    except (OSError, urllib.error.HTTPError):
        return False
