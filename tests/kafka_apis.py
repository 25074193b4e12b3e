"""What a release of Kafka has that nobody decided about: its own message definitions against our table.

    python -m tests.kafka_apis --kafka 4.5.0        (make kafka-apis KAFKA=4.5.0)

The definitions are in the kafka-clients jar (common/message/*.json): which listener takes a request, its
versions, and each field with its versions. What is decided is in ``lfsproxy.wire.versions``, and, for the
fields of answers that are a host, a port or the like, in ADDRESSES. Exit status 1: something is undecided.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import attrs
import click

from lfsproxy.devstack.maven import repository_url
from lfsproxy.wire.versions import APIS, How

_FOLDER: Final = "common/message/"
_COMMENT: Final = re.compile(r"^\s*//.*$", re.MULTILINE)
_WORDS: Final = ("host", "port", "endpoint", "listener", "address")
_SINGLE: Final = ("string", "int16", "uint16", "int32", "uint32")
"""Types of a field that can be a host or a port; one of another type has fields of its own."""

REWRITTEN: Final = "rewritten"
CLIENTS: Final = "where a client is"
INSTANCES: Final = "where an instance of the application is"
BLOTTED: Final = "blotted out"
RULES: Final = "an ACL's host"
CONTROLLERS: Final = "the controllers', which no client of the proxy reaches"
WITHHELD: Final = "its versions are not offered"

ADDRESSES: Final[Mapping[str, tuple[str, str]]] = {
    # Field to its versions, and what was decided.
    "MetadataResponse.Brokers.Host": ("0+", REWRITTEN),
    "MetadataResponse.Brokers.Port": ("0+", REWRITTEN),
    "FindCoordinatorResponse.Host": ("0-3", REWRITTEN),
    "FindCoordinatorResponse.Port": ("0-3", REWRITTEN),
    "FindCoordinatorResponse.Coordinators.Host": ("4+", REWRITTEN),
    "FindCoordinatorResponse.Coordinators.Port": ("4+", REWRITTEN),
    "DescribeClusterResponse.Brokers.Host": ("0+", REWRITTEN),
    "DescribeClusterResponse.Brokers.Port": ("0+", REWRITTEN),
    "ProduceResponse.NodeEndpoints.Host": ("10+", REWRITTEN),
    "ProduceResponse.NodeEndpoints.Port": ("10+", REWRITTEN),
    "FetchResponse.NodeEndpoints.Host": ("16+", WITHHELD),
    "FetchResponse.NodeEndpoints.Port": ("16+", WITHHELD),
    "ShareFetchResponse.NodeEndpoints.Host": ("0+", BLOTTED),
    "ShareFetchResponse.NodeEndpoints.Port": ("0+", BLOTTED),
    "ShareAcknowledgeResponse.NodeEndpoints.Host": ("0+", BLOTTED),
    "ShareAcknowledgeResponse.NodeEndpoints.Port": ("0+", BLOTTED),
    "DescribeQuorumResponse.Nodes.Listeners.Host": ("2+", CONTROLLERS),
    "DescribeQuorumResponse.Nodes.Listeners.Port": ("2+", CONTROLLERS),
    "StreamsGroupHeartbeatResponse.Endpoint.Host": ("0+", INSTANCES),
    "StreamsGroupHeartbeatResponse.Endpoint.Port": ("0+", INSTANCES),
    "StreamsGroupHeartbeatResponse.EndpointInformationEpoch": ("0+", "a number, no address"),
    "StreamsGroupDescribeResponse.Endpoint.Host": ("0+", INSTANCES),
    "StreamsGroupDescribeResponse.Endpoint.Port": ("0+", INSTANCES),
    "StreamsGroupDescribeResponse.Groups.Members.ClientHost": ("0+", CLIENTS),
    "ShareGroupDescribeResponse.Groups.Members.ClientHost": ("0+", CLIENTS),
    "ConsumerGroupDescribeResponse.Groups.Members.ClientHost": ("0+", CLIENTS),
    "DescribeGroupsResponse.Groups.Members.ClientHost": ("0+", CLIENTS),
    "DescribeAclsResponse.Resources.Acls.Host": ("0+", RULES),
    "DeleteAclsResponse.FilterResults.MatchingAcls.Host": ("0+", RULES),
}


@attrs.frozen
class Findings:
    """What a release has, a line each."""

    offered: tuple[str, ...]
    """APIs that brokers' clients may send, with the versions of the release and ours."""
    addresses: tuple[str, ...]
    """Fields of answers that are a host, a port or the like, with their versions and what was decided."""
    undecided: tuple[str, ...]
    """What is in neither table."""


def definitions(jar: Path) -> dict[str, dict[str, Any]]:
    """Every message of the release by name. ``jar`` is kafka-clients'. Raises KeyError where it has none."""
    found = dict[str, dict[str, Any]]()
    with ZipFile(jar) as archive:
        for name in archive.namelist():
            if name.startswith(_FOLDER) and name.endswith(".json"):
                message = json.loads(_COMMENT.sub("", archive.read(name).decode()))
                found[message["name"]] = message
    if not found:
        raise KeyError(f"{jar} has no {_FOLDER}*.json")
    return found


def findings(messages: Mapping[str, Mapping[str, Any]]) -> Findings:
    """Compare the messages of a release with what was decided."""
    offered, addresses, undecided = list[str](), list[str](), list[str]()
    for request in sorted(_requests(messages), key=lambda each: each["apiKey"]):
        key, name, versions = (
            request["apiKey"],
            request["name"].removesuffix("Request"),
            request["validVersions"],
        )
        row = APIS.get(key)
        highest = _highest(versions)
        if row is None:
            undecided.append(f"API {key} {name}, versions {versions}: the table has no such API")
        elif highest > row.looked_at:
            undecided.append(f"{name}, versions {versions}: nobody looked above {row.looked_at}")
        else:
            ours = row.why if row.how is How.WITHHELD else f"up to {row.max_version}"
            ours += f", as {row.why}" if row.why and row.how is not How.WITHHELD else ""
            offered.append(
                f"{key:3} {name} {versions}: {'withheld, as ' if row.how is How.WITHHELD else ''}{ours}"
            )
        for field, given in _addresses(messages.get(f"{name}Response", {})):
            decided = ADDRESSES.get(field)
            if decided is None:
                undecided.append(f"{field}, versions {given}: nobody decided what becomes of it")
            elif decided[0] != given:
                undecided.append(f"{field}, versions {given}: what was decided is for {decided[0]}")
            else:
                addresses.append(f"{field} {given}: {decided[1]}")
    return Findings(tuple(offered), tuple(addresses), tuple(undecided))


def _requests(messages: Mapping[str, Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The requests that a broker's listener takes, in some version."""
    for message in messages.values():
        is_for_brokers = message["type"] == "request" and "broker" in message.get("listeners", ())
        if is_for_brokers and message["validVersions"] != "none":
            yield message


def _highest(versions: str) -> int:
    return int(versions.rpartition("-")[2])


def _addresses(response: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each field that is a host, a port or the like, by its path, with its versions."""
    structs = [(struct["name"], struct) for struct in response.get("commonStructs", ())]
    todo = [
        (response.get("name", ""), response),
        *((f"{response['name']}.{name}", each) for name, each in structs),
    ]
    for path, holder in todo:
        for field in holder.get("fields", ()):
            place = f"{path}.{field['name']}"
            if field["type"] in _SINGLE and any(word in field["name"].lower() for word in _WORDS):
                yield place, field["versions"]
            todo.append((place, field))


def download(release: str, folder: Path) -> Path:
    """The kafka-clients jar of a release, from the Maven repository."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=folder, remote_repos={"central": repository_url()}, timeout=60)
    path: Path = context.create_dependency(f"org.apache.kafka:kafka-clients:{release}").artifact.resolve()
    return path


@click.command()
@click.option("--kafka", "release", required=True, help="The release of Apache Kafka: 4.4.0.")
def main(release: str) -> None:
    """Compare the messages of a release of Kafka with what the proxy has decided about."""
    if not release:
        raise click.UsageError("say which release of Kafka: make kafka-apis KAFKA=4.4.0")
    with tempfile.TemporaryDirectory() as folder:
        try:
            jar = download(release, Path(folder))
        except RuntimeError as error:
            raise click.ClickException(f"the messages of Kafka {release} cannot be had: {error}") from None
        found = findings(definitions(jar))
    click.echo(f"APIs that clients may send to a broker of Kafka {release}, and what the proxy offers:")
    for line in found.offered:
        click.echo(f"  {line}")
    click.echo("Hosts, ports and the like in answers:")
    for line in found.addresses:
        click.echo(f"  {line}")
    click.echo(f"Undecided: {len(found.undecided) or 'nothing'}")
    for line in found.undecided:
        click.echo(f"  {line}")
    sys.exit(1 if found.undecided else 0)


if __name__ == "__main__":
    main()
