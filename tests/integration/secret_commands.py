"""The commands of ``lfsproxy`` with secrets in their settings: what is right, and what fails."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from lfsproxy.devstack.ports import HOST, free_port

Variables = Mapping[str, str]


@attrs.frozen
class Command:
    """Its arguments and variables, and the exit status that it should have."""

    name: str
    arguments: tuple[str, ...]
    variables: Variables
    status: int = 0


@attrs.frozen
class Commands:
    """``signed`` are variables with a user's password, ``by_token`` with a client's secret. ``topic``'s blobs
    are in the store that both name, of ``elsewhere`` in another. ``url`` and ``bootstrap`` are of proxies."""

    signed: Variables
    by_token: Variables
    folder: Path
    topic: str
    elsewhere: str
    url: str
    bootstrap: str

    def right(self, keys: Path, key: str) -> Iterator[Command]:
        """All of them end well."""
        payload = self.folder / "payload"
        payload.write_bytes(b"by a command")
        topic, upload = ("--topic", self.topic), ("upload", str(payload), "--topic", self.elsewhere)
        signed = {**self.signed, "LFS_HTTP_API_KEYS_FILE": str(keys), **_ports()}
        through = {**signed, "LFS_PROXY_BOOTSTRAP": self.bootstrap, "LFS_PROXY_URL": self.url}
        once = ("--from-beginning", "--max-messages", "1")
        yield Command("check", ("check", *topic, "--json"), signed)
        yield Command("check by token", ("check", *topic), {**self.by_token, **_ports()})
        yield Command("gc", ("gc", "--topics", self.topic), signed)
        yield Command("fsck", ("fsck", "--topics", self.topic, "--verify"), signed)
        yield Command("upload", upload, {**through, "LFS_API_KEY": key})
        yield Command("produce", ("produce", str(payload), *topic), through)
        yield Command("consume", ("consume", self.topic, *once), through)
        yield Command("download", ("download", f"{self.topic}:0:0", "-o", "-"), through)

    def wrong(self, key: str, password: str, s3_key: str, secret: str, in_url: str) -> Iterator[Command]:
        """None of them does."""
        broken = self.folder / "broken.json"
        broken.write_text(json.dumps({"keys": [{"id": key, "name": "a"}]})[:-1])
        payload = self.folder / "other"
        payload.write_bytes(b"by a command")
        upload = ("upload", str(payload), "--topic", self.elsewhere, "--url", self.url, "--api-key", key)
        signed = {**self.signed, **_ports(), "LFS_PROXY_BOOTSTRAP": self.bootstrap}
        user = {**signed, "LFS_KAFKA_SASL_PASSWORD": password}
        store = {**signed, "AWS_SECRET_ACCESS_KEY": s3_key}
        client = {**self.by_token, **_ports(), "LFS_KAFKA_OAUTH_CLIENT_SECRET": secret}
        url = f"http://user:{in_url}@{HOST}:9"
        at_broker = ("--bootstrap", client["LFS_KAFKA_BROKERS"])
        yield Command("check, wrong password", ("check",), user, 1)
        yield Command("check, wrong S3 key", ("check",), store, 1)
        yield Command("check, wrong client", ("check",), client, 1)
        yield Command("gc, wrong S3 key", ("gc",), store, 2)
        yield Command("consume, wrong password", ("consume", self.topic), user, 1)
        yield Command("consume, wrong client", ("consume", self.topic, *at_broker), client, 1)
        yield Command("upload, wrong key", upload, signed, 1)
        yield Command("serve, a URL", ("serve",), {**signed, "LFS_S3_ENDPOINT": url}, 1)
        yield Command("serve, a token URL", ("serve",), {**client, "LFS_KAFKA_OAUTH_TOKEN_URL": url}, 1)
        yield Command("keys list, a broken file", ("keys", "list", "--file", str(broken)), signed, 1)


def _ports() -> dict[str, str]:
    names = ("LFS_HTTP_ADDR", "LFS_METRICS_ADDR", "LFS_KAFKA_ADDR")
    base = {"LFS_KAFKA_BROKER_PORT_BASE": str(free_port() - 1)}
    return {**base, **{name: f"{HOST}:{free_port()}" for name in names}}
