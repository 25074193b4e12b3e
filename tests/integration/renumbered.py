"""Records that are there twice because their client gave them new numbers.

librdkafka takes a new epoch, and numbers what is not acknowledged from 0 on, when a partition's new leader
answers OUT_OF_ORDER_SEQUENCE_NUMBER. A record of another partition may be in the log by then, though its
leader, which had just lost its place, answered NOT_LEADER_OR_FOLLOWER. Under its new number the broker cannot
know it again. That happens without a proxy, too: ``python -m tests.integration.faults.straight`` shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lfsproxy.devstack import KafkaServer
from lfsproxy.wire.batch import HEADER_SIZE, BatchHeader, parse_batch_header
from tests.integration.storm.notes import Place

LENGTH_END = 12

Producer = tuple[int, int]
"""Id and epoch."""


def is_renumbered(producers: Sequence[Producer]) -> bool:
    """Whether copies of a record come from one producer that sent each of them under another epoch."""
    return len({number for number, _ in producers}) == 1 and len(set(producers)) == len(producers)


def producers_of(nodes: Iterable[KafkaServer], topic: str, places: Iterable[Place]) -> list[Producer]:
    """Who sent the records at these places, by the log files of any node that has them."""
    folders = [node.data_dir / "data" for node in nodes]
    return [_producer(folders, topic, partition, offset) for partition, offset in sorted(places)]


def _producer(folders: Sequence[Path], topic: str, partition: int, offset: int) -> Producer:
    for folder in folders:
        for file in sorted((folder / f"{topic}-{partition}").glob("*.log")):
            for header in _headers(file.read_bytes()):
                if header.base_offset <= offset <= header.base_offset + header.last_offset_delta:
                    return header.producer_id, header.producer_epoch
    raise LookupError(f"no node has {topic} {partition} {offset}")


def _headers(log: bytes) -> Iterator[BatchHeader]:
    at = 0
    while at + HEADER_SIZE <= len(log):
        header = parse_batch_header(log[at : at + HEADER_SIZE])
        # A segment's end may be zeros.
        if header.batch_length <= 0:
            return
        yield header
        at += LENGTH_END + header.batch_length
