"""How the results of other people's tests are read and compared."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.foreign.franz_go import speak_to_a_broker
from tests.foreign.kafka_python import known
from tests.foreign.results import NoResultsError, lost, of_go, of_junit, table

GO = """\
# github.com/twmb/franz-go/pkg/kgo
{"Action":"start","Package":"kgo"}
{"Action":"run","Package":"kgo","Test":"TestA"}
{"Action":"run","Package":"kgo","Test":"TestA/one"}
{"Action":"output","Package":"kgo","Test":"TestA","Output":"--- FAIL: TestA\\n"}
{"Action":"pass","Package":"kgo","Test":"TestA/one","Elapsed":1.5}
{"Action":"fail","Package":"kgo","Test":"TestA","Elapsed":2}
{"Action":"run","Package":"kgo","Test":"TestB"}
{"Action":"skip","Package":"kgo","Test":"TestB","Elapsed":0}
{"Action":"run","Package":"kgo","Test":"TestC"}
{"Action":"fail","Package":"kgo","Elapsed":900}
"""
JUNIT = """\
<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest">
<testcase classname="test.integration.test_x" name="test_a[1]" time="0.1" />
<testcase classname="test.integration.test_x" name="test_b"><failure message="no">why</failure></testcase>
<testcase classname="test.integration.test_x" name="test_c"><skipped message="old" /></testcase>
<testcase classname="test.integration.test_x" name="test_d"><error message="teardown" /></testcase>
<testcase classname="test.integration.test_x" name="test_d" />
<testcase classname="test.integration.test_x" name="test_e"><properties /></testcase>
</testsuite></testsuites>
"""


class ReadingTests(SynchronousTestCase):
    def test_a_test_of_go_is_in_the_state_of_its_last_event(self) -> None:
        self.assertEqual(
            of_go(GO.splitlines()),
            {"TestA": "failed", "TestA/one": "passed", "TestB": "skipped", "TestC": "not finished"},
        )

    def test_a_test_of_pytest_fails_by_its_setup_and_teardown_too(self) -> None:
        self.assertEqual(
            of_junit(JUNIT),
            {
                "test_x::test_a[1]": "passed",
                "test_x::test_b": "failed",
                "test_x::test_c": "skipped",
                "test_x::test_d": "failed",
                "test_x::test_e": "passed",
            },
        )

    def test_no_test_is_no_success(self) -> None:
        self.assertRaises(NoResultsError, of_go, ["FAIL kgo [build failed]"])
        self.assertRaises(NoResultsError, of_junit, "<testsuites><testsuite /></testsuites>")

    def test_functions_of_go_that_use_a_broker_are_found(self) -> None:
        source = """\
func TestPing(t *testing.T) {
	cl, _ := newTestClient()
}

func TestParse(t *testing.T) {
	for {
	}
}

func helper(t *testing.T) {
	adm()
}

func TestTopic(t *testing.T) {
	topic, cleanup := tmpTopicPartitions(t, 1)
}
"""
        self.assertEqual(speak_to_a_broker(source), ["TestPing", "TestTopic"])


class ReleaseTests(SynchronousTestCase):
    def test_kafka_python_is_told_of_no_release_that_it_does_not_know(self) -> None:
        self.assertEqual([known(release) for release in ("3.9", "4.3", "4.10")], ["3.9", "4.3", "4.3"])


class ComparingTests(SynchronousTestCase):
    straight = {"a": "passed", "b": "passed", "c": "failed", "d": "skipped", "e": "failed", "f": "passed"}
    through = {"a": "passed", "b": "failed", "c": "failed", "d": "skipped", "e": "passed"}

    def test_what_passes_straight_only_is_lost(self) -> None:
        self.assertEqual(lost(self.straight, self.through), ["b", "f"])
        self.assertEqual(lost(self.straight, self.straight), [])

    def test_the_table_counts_and_names_what_differs(self) -> None:
        self.assertEqual(
            list(table(self.straight, self.through)),
            [
                "                          passed        failed       skipped  not finished",
                "straight                       3             2             1             0",
                "through the proxy              2             2             1             0",
                "DIFFERS: b: passed straight, failed through the proxy",
                "failed both ways: c",
                "skipped both ways: d",
                "DIFFERS: e: failed straight, passed through the proxy",
                "DIFFERS: f: passed straight, not run through the proxy",
            ],
        )
