"""``make kafka-apis`` on made-up releases; ``tests.integration.test_kafka_apis`` has the real ones."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.versions import APIS, How
from tests import kafka_apis
from tests.kafka_apis import ADDRESSES, BLOTTED, REWRITTEN, WITHHELD, definitions, findings


def message(kind: str, name: str, key: int, versions: str, **more: Any) -> dict[str, Any]:
    listeners = {"listeners": ["broker"]} if kind == "request" else {}
    return {"apiKey": key, "type": kind, "name": name, "validVersions": versions, **listeners, **more}


def field(name: str, kind: str, versions: str, *fields: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "versions": versions, **({"fields": list(fields)} if fields else {})}


class FindingTests(SynchronousTestCase):
    def undecided(self, *messages: dict[str, Any]) -> list[str]:
        return list(findings({each["name"]: each for each in messages}).undecided)

    def test_what_is_decided_is_none(self) -> None:
        brokers = field(
            "Brokers", "[]Broker", "0+", field("Host", "string", "0+"), field("Port", "int32", "0+")
        )
        found = findings(
            {
                "MetadataRequest": message("request", "MetadataRequest", 3, "0-13"),
                "MetadataResponse": message("response", "MetadataResponse", 3, "0-13", fields=[brokers]),
            }
        )
        self.assertEqual(found.undecided, ())
        self.assertEqual(found.offered, ("  3 Metadata 0-13: up to 13",))
        self.assertIn("MetadataResponse.Brokers.Host 0+: rewritten", found.addresses)

    def test_an_api_that_the_table_lacks(self) -> None:
        (line,) = self.undecided(message("request", "NewRequest", 500, "0-2"))
        self.assertIn("API 500 New, versions 0-2", line)

    def test_a_version_that_nobody_looked_at(self) -> None:
        (line,) = self.undecided(message("request", "FetchRequest", 1, "4-19"))
        self.assertEqual(line, "Fetch, versions 4-19: nobody looked above 18")

    def test_an_address_in_a_new_place(self) -> None:
        nodes = field("Nodes", "[]Node", "6+", field("BrokerHost", "string", "6+"))
        (line,) = self.undecided(
            message("request", "HeartbeatRequest", 12, "0-4"),
            message("response", "HeartbeatResponse", 12, "0-4", fields=[nodes]),
        )
        self.assertIn("HeartbeatResponse.Nodes.BrokerHost, versions 6+", line)

    def test_an_address_in_a_struct_that_fields_share(self) -> None:
        struct = {"name": "Where", "versions": "0+", "fields": [field("ListenerPort", "uint16", "0+")]}
        (line,) = self.undecided(
            message("request", "HeartbeatRequest", 12, "0-4"),
            message("response", "HeartbeatResponse", 12, "0-4", fields=[], commonStructs=[struct]),
        )
        self.assertIn("HeartbeatResponse.Where.ListenerPort", line)

    def test_an_address_in_more_versions_than_before(self) -> None:
        brokers = field("Brokers", "[]Broker", "0+", field("Host", "string", "0+"))
        coordinators = field("Coordinators", "[]Coordinator", "3+", field("Host", "string", "3+"))
        (line,) = self.undecided(
            message("request", "FindCoordinatorRequest", 10, "0-6"),
            message("response", "FindCoordinatorResponse", 10, "0-6", fields=[coordinators]),
            message("request", "DescribeClusterRequest", 60, "0-2"),
            message("response", "DescribeClusterResponse", 60, "0-2", fields=[brokers]),
        )
        self.assertIn("FindCoordinatorResponse.Coordinators.Host, versions 3+", line)
        self.assertIn("for 4+", line)

    def test_controllers_requests_and_removed_ones_are_no_business_of_ours(self) -> None:
        vote = message("request", "VoteRequest", 52, "0-2") | {"listeners": ["controller"]}
        self.assertEqual(self.undecided(vote, message("request", "StopReplicaRequest", 5, "none")), [])


class DefinitionTests(SynchronousTestCase):
    def jar(self, **files: str) -> Path:
        path = Path(self.mktemp())
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in files.items():
                archive.writestr(f"common/message/{name}.json", text)
        return path

    def test_comments_are_left_out(self) -> None:
        text = (
            "// A licence.\n" + json.dumps(message("request", "VoteRequest", 52, "0")) + "\n  // The end.\n"
        )
        self.assertEqual(list(definitions(self.jar(VoteRequest=text))), ["VoteRequest"])

    def test_a_jar_without_messages(self) -> None:
        self.assertRaises(KeyError, definitions, self.jar())


class CommandTests(SynchronousTestCase):
    def test_a_release_has_to_be_named(self) -> None:
        ended = CliRunner().invoke(kafka_apis.main, ["--kafka", ""])
        self.assertEqual(ended.exit_code, 2)
        self.assertIn("Error: say which release of Kafka: make kafka-apis KAFKA=4.4.0", ended.output)

    def test_a_release_that_does_not_exist(self) -> None:
        def download(release: str, folder: Path) -> Path:
            raise RuntimeError("Artifact not found")

        self.patch(kafka_apis, "download", download)
        ended = CliRunner().invoke(kafka_apis.main, ["--kafka", "9.9"])
        expected = "Error: the messages of Kafka 9.9 cannot be had: Artifact not found\n"
        self.assertEqual((ended.exit_code, ended.output), (1, expected))


class DecisionTests(SynchronousTestCase):
    """The two tables agree."""

    def test_what_is_rewritten_is_in_answers_that_are(self) -> None:
        for place, (versions, decided) in ADDRESSES.items():
            name = place.partition("Response")[0]
            row = next(each for each in APIS.values() if each.name == name)
            if decided == REWRITTEN:
                self.assertIn(row.how, (How.ADDRESSES, How.PRODUCE), place)
            if decided == BLOTTED:
                self.assertIs(row.how, How.BLOTTED, place)
            if decided == WITHHELD:
                self.assertLess(row.max_version, int(versions.removesuffix("+")), place)

    def test_what_is_not_offered_has_a_reason(self) -> None:
        for row in APIS.values():
            held_back = row.how is How.WITHHELD or row.looked_at > row.max_version
            self.assertEqual(held_back, bool(row.why), row.name)

    def test_the_table_has_every_api_by_name_but_one(self) -> None:
        self.assertEqual(set(KafkaApi) - set(APIS), {KafkaApi.CONTROLLED_SHUTDOWN})
