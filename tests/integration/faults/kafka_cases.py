"""What goes wrong between the proxy and Kafka, and within Kafka."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator

from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from tests.integration.cluster import leaders
from tests.integration.faults.cases import Case, Moment, Strike, striking
from tests.integration.faults.link import Trouble
from tests.integration.faults.scene import NODES, PARTITIONS, Scene
from tests.integration.storm.notes import TOPICS, Door

SECONDS = 60.0
MOVES = 2
PREFERRED = 0


def _troubled(trouble: Trouble) -> Strike:
    def strike(moment: Moment) -> contextlib.AbstractContextManager[None]:
        return striking(moment, moment.scene.kafka_in_trouble(trouble))

    return strike


@contextlib.contextmanager
def _restart(moment: Moment) -> Iterator[None]:
    """The node that leads the first partition is stopped, and started again in the end."""
    scene = moment.scene
    node = scene.nodes[leaders(scene.servers.kafka.port, Door.KAFKA.value)[0]]
    node.stop()
    try:
        yield
    finally:
        node.start()


@contextlib.contextmanager
def _controller_dies(moment: Moment) -> Iterator[None]:
    """It is killed, and started again when another one is in its place."""
    scene = moment.scene
    before = scene.controller()
    scene.nodes[before].kill()
    try:
        _wait(lambda: scene.controller() != before)
        yield
    finally:
        scene.nodes[before].start()


@contextlib.contextmanager
def _leaders_move(moment: Moment) -> Iterator[None]:
    """Every partition's leader, again and again."""
    turn = itertools.cycle(NODES)
    for _ in range(max(MOVES, int(MOVES * moment.scale))):
        lead(moment.scene, next(turn))
    yield


def lead(scene: Scene, node: int) -> None:
    """Have every partition led by a node. Blocks."""
    others = [number for number in NODES if number != node]
    wanted = {
        TopicPartition(topic, index): [node, *others] for topic in TOPICS for index in range(PARTITIONS)
    }
    with scene.admin() as admin:
        problems = set(admin.alter_partition_reassignments(wanted).values())
        if problems != {None}:
            raise RuntimeError(f"partitions cannot be moved: {problems}")

        def moved() -> bool:
            # Refused until the node has caught up.
            admin.elect_leaders(
                PREFERRED, {topic: list(range(PARTITIONS)) for topic in TOPICS}, raise_errors=False
            )
            port = scene.servers.kafka.port
            return all(set(leaders(port, topic).values()) == {node} for topic in TOPICS)

        _wait(moved)


@contextlib.contextmanager
def _too_few_in_sync(moment: Moment) -> Iterator[None]:
    """Topics need all three replicas, and one is away."""
    scene = moment.scene
    away = scene.nodes[max(NODES)]
    _need(scene, len(NODES))
    away.stop()
    try:
        yield
    finally:
        away.start()
        _need(scene, len(NODES) - 1)


def _need(scene: Scene, replicas: int) -> None:
    need = {"min.insync.replicas": str(replicas)}
    with scene.admin() as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, need) for topic in TOPICS])


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        with contextlib.suppress(KafkaError, OSError):
            if is_so():
                return
        if time.monotonic() > deadline:
            raise TimeoutError("the cluster does not come to rest")
        time.sleep(0.05)


KAFKA_CASES = (
    Case("Kafka: a node restarts", _restart),
    Case("Kafka: leaders change", _leaders_move, 1),
    Case("Kafka: too few replicas in sync", _too_few_in_sync),
    Case("Kafka: the controller is killed", _controller_dies, 1),
    Case("Kafka: connections reset at any byte", _troubled(Trouble(cut=20_000))),
    Case("Kafka: 0.3 s late, 200 kB/s", _troubled(Trouble(late=0.3, rate=200_000))),
    Case("Kafka: bytes vanish", _troubled(Trouble(mute=True))),
)
