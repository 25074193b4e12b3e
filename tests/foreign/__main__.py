"""A client's own integration tests against a broker, and against the same broker through the proxy.

    python -m tests.foreign franz-go                  (make foreign CLIENT=franz-go)
    python -m tests.foreign kafka-python --kafka 4.4 --only transaction

The client's code is downloaded by its language's tool, and is no part of this repository. Exit status 1: a
test passes straight, and does not pass through the proxy.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from lfsproxy.devstack.kafka import DEFAULT_RELEASE
from tests.foreign import franz_go, kafka_python
from tests.foreign.franz_go import FranzGo
from tests.foreign.kafka_python import KafkaPython
from tests.foreign.results import NoResultsError, lost, table
from tests.foreign.servers import servers

VERSIONS = {"franz-go": franz_go.VERSION, "kafka-python": kafka_python.VERSION}


@click.command()
@click.argument("client", type=click.Choice([*VERSIONS]))
@click.option("--version", default="", help="The client's version, instead of the one that was tried.")
@click.option("--kafka", default=DEFAULT_RELEASE, show_default=True, help="The release of Apache Kafka.")
@click.option("--records", default=20_000, show_default=True, help="Records of each test of franz-go.")
@click.option("--seconds", default=1200, show_default=True, help="How long a run may take.")
@click.option("--only", default="", help="Tests to run, as go test -run or pytest -k takes it.")
def main(client: str, version: str, kafka: str, records: int, seconds: int, only: str) -> None:
    """Run the integration tests of CLIENT straight and through the proxy, and say what differs."""
    version = version or VERSIONS[client]
    folder = Path(tempfile.mkdtemp(prefix="lfsproxy-foreign-"))
    tests: FranzGo | KafkaPython
    if client == "franz-go":
        tests = FranzGo.fetch(folder, version, records, seconds)
    else:
        tests = KafkaPython.fetch(folder, version, kafka, seconds)
    try:
        with servers(kafka) as both:
            straight = tests.run(both.straight, folder / "straight.log", only)
            through = tests.run(both.through, folder / "through.log", only)
            relayed = both.relayed()
    except NoResultsError as error:
        raise click.ClickException(f"{error}: see {folder}") from error
    click.echo(f"{client} {version}, Kafka {kafka}; what the tests wrote is in {folder}")
    for line in table(straight, through):
        click.echo(line)
    click.echo(f"The proxy relayed {relayed} requests.")
    sys.exit(1 if lost(straight, through) else 0)


if __name__ == "__main__":
    main()
