"""Which test runs each block of shell commands on the pages, as pasted; or why none does.

A block is named by a part of its text that no other block of its page has. A test takes the blocks that it
runs from here (``blocks_run_by``), or finds them by itself; then ``by`` is what that test's source says.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from tests.docs.blocks import ROOT, Block, blocks_of

SHELL = ("sh", "bash", "shell", "console")
PAGES = (
    "README.md",
    "docs/quickstart.md",
    *sorted(
        str(page.relative_to(ROOT))
        for room in ("how-to", "operate")
        for page in (ROOT / "docs" / room).glob("*.md")
    ),
)


@attrs.frozen
class Run:
    """The test module that runs the block, and what its source says to find the block."""

    module: str
    by: str = "blocks_run_by(__name__"


@attrs.frozen
class NotRun:
    """Why no test runs the block."""

    why: str


_README = Run("tests.integration.test_readme")
_DEVELOPERS = NotRun("it is what runs the tests and builds these pages")
_YOUR_OWN = NotRun("it needs a Kafka cluster and a bucket of the reader's own, and does not end")
_DOCKER = NotRun("it needs Docker; tests/deploy/test_container.py runs the steps of the Dockerfile")
_MACHINE = NotRun("it changes the machine as root; tests/integration/test_systemd.py runs the unit's command")


_UNAWARE = Run("tests.integration.test_without_sdk")
_OPERATE = Run("tests.integration.test_operate")
_ACLS = Run("tests.integration.test_rights_kafka", "kafka-acls.sh")


def _connect(part: str) -> Run:
    return Run("tests.integration.test_java_connect", f'"{part}"')


BLOCKS: Mapping[str, Mapping[str, Run | NotRun]] = {
    "README.md": {
        "make lfs-demo": _README,
        "curl -F file=@large-file.bin": _README,
        "curl -o again.bin": _README,
        "twistd -n": _YOUR_OWN,
        "docker run": NotRun("it needs Docker, and a Kafka cluster and a bucket of the reader's own"),
        "make test ": _DEVELOPERS,
    },
    "docs/quickstart.md": {
        "make lfs-demo": _README,
        "curl -i -F file=@large-file.bin": _README,
        "kafka-console-consumer": _README,
        "lfsproxy download": _README,
        "twistd -n": _YOUR_OWN,
        "/readyz": _README,
    },
    "docs/how-to/kafka-connect.md": {
        "git clone": _connect("git clone"),
        "worker.properties <<": _connect("worker.properties <<"),
        "sink.properties <<": _connect("sink.properties <<"),
        "seq ": _connect("seq "),
        "connect-standalone.sh": _connect("connect-standalone.sh"),
        "cmp - numbers.txt": _connect("cmp - numbers.txt"),
    },
    "docs/how-to/without-an-sdk.md": {
        "export LFS_OFFLOAD_THRESHOLD": _UNAWARE,
        "the same 300 MB": _UNAWARE,
        "kafka-console-consumer": _UNAWARE,
        "client.id=sdk-1": _UNAWARE,
        "--reset-offsets": NotRun("it needs a group that is stopped at a record without its blob"),
    },
    "docs/operate/container.md": {
        "docker run": _DOCKER,
        "--build-arg": _DOCKER,
        "docker buildx": _DOCKER,
        "make sbom": NotRun("it installs tools of a release; make release-check runs it"),
        "docker compose up": _DOCKER,
        "--profile monitoring": _DOCKER,
    },
    "docs/operate/workers.md": {"LFS_WORKERS=2": _YOUR_OWN},
    "docs/operate/sizing.md": {"sizing.py": Run("tests.deploy.test_chart_settings", "sizing.py")},
    "docs/operate/rights.md": {
        "lfsproxy --operation Write --topic": _ACLS,
        "lfsproxy --operation Read": _ACLS,
        "--operation Create": _ACLS,
        "User:alice": _ACLS,
        "User:bob": _ACLS,
        "mc admin": NotRun("it needs MinIO's client; test_rights_s3.py sends the same requests"),
    },
    "docs/operate/install.md": {
        "--require-hashes": NotRun("it installs; tests/deploy/test_container.py takes the same steps"),
        "useradd": NotRun("it changes the machine as root"),
        "set -a": NotRun(
            "it does not end, and needs a cluster and a bucket; tests/deploy/test_files.py runs the rest"
        ),
        "curl -sS localhost:8080/readyz": _OPERATE,
    },
    "docs/operate/retention.md": {
        "aws s3api": NotRun("it needs AWS's command; test_retention.py gives the same rules to a store"),
        "kafka-configs": _OPERATE,
    },
    "docs/operate/upkeep.md": {
        "lfsproxy gc": NotRun("it asks a person; tests/integration/test_gc.py runs it with --yes"),
        "lfsproxy fsck": Run("tests.integration.test_fsck"),
        "tests.upkeep.many": NotRun("it takes a minute; tests/upkeep/test_many.py is its short form"),
    },
    "docs/operate/upgrade.md": {
        "curl -sS localhost:8080/readyz": _OPERATE,
        "helm upgrade": NotRun("it needs a Kubernetes cluster; tests/deploy renders the chart"),
        "systemctl restart": _MACHINE,
    },
    "docs/operate/disaster.md": {
        "boto3": NotRun("it installs; tests/integration/test_disaster.py runs the programs themselves"),
    },
    "docs/operate/replicas.md": {
        "systemctl restart": _MACHINE,
        "tests.integration.rolling": NotRun(
            "it takes minutes; tests/integration/test_replicas.py is its short form"
        ),
    },
    "docs/operate/helm.md": {
        "helm install": NotRun("it needs a Kubernetes cluster; tests/deploy renders the values with Helm"),
    },
    "docs/how-to/systemd.md": {
        "python3 -m venv": _MACHINE,
        "lfsproxy.env /etc": _MACHINE,
        "lfsproxy.service /etc": _MACHINE,
        "keys add": _MACHINE,
        "groupadd": _MACHINE,
        "lfsproxy.socket /etc": _MACHINE,
        "stop lfsproxy.socket": _MACHINE,
        "systemd-analyze security": Run("tests.deploy.test_files"),
    },
}


def shell_blocks(page: str) -> list[Block]:
    """The blocks of shell commands of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [block for block in blocks_of(text) if block.language in SHELL]


def blocks_run_by(module: str, page: str) -> list[Block]:
    """The blocks of a page that a test module runs, in the page's order."""
    mine = [part for part, fate in BLOCKS[page].items() if isinstance(fate, Run) and fate.module == module]
    return [block for block in shell_blocks(page) if any(part in block.code for part in mine)]


def problems_of(page: str, blocks: list[Block]) -> list[str]:
    """Where the blocks of a page and the list disagree, in sentences."""
    named = BLOCKS.get(page, {})
    problems = []
    for block in blocks:
        parts = [part for part in named if part in block.code]
        if len(parts) != 1:
            problems.append(f"{page}:{block.line}: {len(parts)} entries of the list name this block")
        if block.language == "console":
            problems.append(f"{page}:{block.line}: prompts cannot be pasted: make it sh")
    unclear = [part for part in named if sum(part in block.code for block in blocks) != 1]
    return problems + [f"{page}: {part!r} names no block, or several" for part in unclear]
