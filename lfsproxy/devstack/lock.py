"""Writes ``jars.toml``: resolves each set's roots by jgo, and records every jar's size and SHA-256.

For maintainers, when a version moves: ``python -m lfsproxy.devstack lock``. Nothing reads this module at run
time.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable
from pathlib import Path

import attrs

from lfsproxy.devstack.jars import LOCK_FILE, Jar
from lfsproxy.devstack.maven import repository_url


@attrs.frozen
class JarSet:
    """What to resolve, and which resolved artifacts are not needed (``group:artifact`` globs)."""

    name: str
    roots: tuple[str, ...]
    leave_out: tuple[str, ...]


KAFKA_WEB = (
    # Kafka Connect's REST server: nothing that we start serves it.
    "com.fasterxml.jackson.jakarta.rs:*",
    "com.fasterxml.jackson.module:*",
    "io.github.classgraph:*",
    "io.swagger.core.v3:*",
    "jakarta.*:*",
    "javax.*:*",
    "org.apache.kafka:connect-*",
    "org.apache.maven:*",
    "org.eclipse.jetty*:*",
    "org.glassfish.*:*",
    "org.javassist:*",
)

KAFKA_3 = (
    *KAFKA_WEB,
    "com.fasterxml.jackson.jaxrs:*",
    "org.reflections:*",
    # ZooKeeper's network side, whose names are read but which no KRaft node uses.
    "io.netty:*",
    "org.apache.yetus:*",
    # Log4j 2 is what our configuration is for; two bindings would be chosen from at random.
    "org.slf4j:slf4j-reload4j",
)

SETS = (
    JarSet(
        "kafka-4.4",
        (
            "org.apache.kafka:kafka_2.13:4.4.0",
            "org.apache.kafka:kafka-tools:4.4.0",
            # Ends in "!": its parent's dependencyManagement must not move Kafka's own versions.
            "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3!",
        ),
        KAFKA_WEB,
    ),
    JarSet(
        "kafka-4.1",
        (
            "org.apache.kafka:kafka_2.13:4.1.2",
            "org.apache.kafka:kafka-tools:4.1.2",
            "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3!",
        ),
        KAFKA_WEB,
    ),
    JarSet(
        # The oldest release that the tests run against, and the last one with ZooKeeper's classes in it.
        "kafka-3.9",
        (
            "org.apache.kafka:kafka_2.13:3.9.2",
            "org.apache.kafka:kafka-tools:3.9.2",
            "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3!",
        ),
        KAFKA_3,
    ),
    JarSet(
        "s3proxy-4.1",
        ("org.gaul:s3proxy:4.1.0",),
        (
            # The clients of the clouds that S3Proxy can stand in front of: we only use a folder.
            "com.azure:*",
            "com.fasterxml.jackson.core:jackson-[!a]*",
            "com.fasterxml.jackson.data*:*",
            "com.github.*:*",
            "com.google.[!g]*:*",
            "com.google.gson:*",
            "com.microsoft.azure:*",
            "com.squareup.*:*",
            "commons-codec:*",
            "io.grpc:*",
            "io.opencensus:*",
            "io.perfmark:*",
            "io.projectreactor:*",
            "net.java.dev.jna:*",
            "org.apache.httpcomponents*:*",
            "org.apache.sshd:*",
            "org.checkerframework:*",
            "org.codehaus.mojo:*",
            "org.threeten:*",
            "org.yaml:*",
        ),
    ),
)


def write_lock(scratch: Path, say: Callable[[str], None], lock_file: Path = LOCK_FILE) -> None:
    """Resolve all sets, downloading into ``scratch``, and write the lock. Takes minutes."""
    lines = [
        "# Written by `python -m lfsproxy.devstack lock`. What is resolved and left out is said in lock.py.",
        "",
    ]
    for jar_set in SETS:
        say(f"Resolving {', '.join(jar_set.roots)}")
        jars = _resolve(jar_set, scratch)
        say(f"{jar_set.name}: {len(jars)} jars, {sum(jar.size for jar in jars) / 1e6:.0f} MB")
        lines += [f'[sets."{jar_set.name}"]', "jars = ["]
        lines += [f'  {{ at = "{jar.at}", size = {jar.size}, sha256 = "{jar.sha256}" }},' for jar in jars]
        lines += ["]", ""]
    lock_file.write_text("\n".join(lines))


def _resolve(jar_set: JarSet, scratch: Path) -> list[Jar]:
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=scratch, remote_repos={"central": repository_url()}, timeout=60)
    roots, others = context.resolver.resolve([context.create_dependency(root) for root in jar_set.roots])
    jars = []
    for dependency in (*roots, *others):
        artifact = dependency.artifact
        name = f"{artifact.groupId}:{artifact.artifactId}"
        if dependency.scope not in (None, "compile", "runtime"):
            continue
        if any(fnmatch.fnmatchcase(name, glob) for glob in jar_set.leave_out):
            continue
        path = artifact.resolve()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        middle = f":jar:{artifact.classifier}" if artifact.classifier else ""
        jars.append(Jar(f"{name}{middle}:{artifact.version}", path.stat().st_size, digest))
    return jars
