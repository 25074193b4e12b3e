"""What ``lfsproxy check`` is made of: the steps, and the Kafka, S3 and files that they are tried with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import attrs
from twisted.internet.threads import deferToThread

from lfsproxy.backends import make_store
from lfsproxy.broker.probe import KafkaProbe
from lfsproxy.cli.healthcheck import is_alive
from lfsproxy.cli.upkeep import Job
from lfsproxy.s3.chain import chain_credentials
from lfsproxy.s3.credentials import ChainCredentials
from lfsproxy.s3.probe import StoreProbe
from lfsproxy.s3.store import S3Store
from lfsproxy.upkeep.steps.brokers import KafkaSteps
from lfsproxy.upkeep.steps.bucket import StoreSteps
from lfsproxy.upkeep.steps.chain import Step
from lfsproxy.upkeep.steps.own import OwnSteps
from lfsproxy.upkeep.steps.sidebyside import side_by_side
from lfsproxy.web.gate import KeysFile

S3_SECONDS = 5.0
"""How long trouble with S3 may last within a step, where LFS_S3_RETRY_TIMEOUT is longer."""


async def check_all(job: Job, topic: str | None, tell: Callable[[Step], None]) -> Sequence[Step]:
    """Every step, in the order to be shown. Raises nothing that a step can tell."""
    reactor, settings = job.reactor, job.settings
    keys = settings.http_api_keys_file
    own = OwnSteps(
        reactor,
        job.loaded,
        {"LFS_HTTP_API_KEYS_FILE": KeysFile(keys).current} if keys else {},
        lambda: _alive(job),
        tell,
    )
    kafka = KafkaSteps(reactor, settings, lambda: own.once(lambda: KafkaProbe(reactor, settings)), tell)
    store = StoreSteps(reactor, settings, lambda: own.once(lambda: _store_probe(job)), tell)

    async def kafka_and_ports() -> None:
        await kafka.run(topic)
        # Which ports there are is known by the brokers that there are.
        await own.ports(kafka.nodes)

    await own.files()
    await side_by_side([kafka_and_ports(), store.run()])
    first, ports = own.chains
    return [step for chain in (first, *kafka.chains, *store.chains, ports) for step in chain.steps]


def _store_probe(job: Job) -> StoreProbe:
    settings = attrs.evolve(job.settings, s3_retry_timeout=min(S3_SECONDS, job.settings.s3_retry_timeout))
    credentials = ChainCredentials(
        job.reactor, settings.s3_retry_timeout, partial(chain_credentials, job.environment)
    )
    store = make_store(job.reactor, settings, job.environment, job.metrics, credentials)
    return StoreProbe(cast(S3Store, store), credentials, settings.namespace)


async def _alive(job: Job) -> bool:
    return await deferToThread(is_alive, job.settings)
