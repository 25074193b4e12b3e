"""What left kafka-python's producer for a broker, and how it was answered.

KafkaProducer's exceptions do not tell whether a record was ever sent, nor what an earlier try was answered.
It takes the class of its network client as an argument, so this one stands there: every Produce request
passes through ``WatchedClient.send`` on its way to the socket. It can also be shut, after which
nothing leaves any more, so that "never sent" stays true once it has been said.
"""

from __future__ import annotations

import threading
from typing import Any

from kafka import errors as kafka_errors
from kafka.future import Future
from kafka.protocol.producer import ProduceRequest

from lfsproxy.broker.signing import Identity, SigningClient


class Watch:
    """The Produce requests of a producer that has one record on its way at a time. Thread-safe."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.is_shut = False
        self._answers: list[int | None] = []

    def begin(self) -> None:
        """A new record is given to the producer."""
        with self.lock:
            self._answers = []

    def shut(self) -> None:
        """From now on nothing leaves: what has not left by now never will."""
        with self.lock:
            self.is_shut = True

    def answers(self) -> list[int | None]:
        """One entry per time that the record left: the error code of the answer, None where none came yet."""
        with self.lock:
            return list(self._answers)

    def leaves(self) -> tuple[list[int | None], int]:
        """A request goes to the socket (call under ``lock``); returns where its answer belongs."""
        self._answers.append(None)
        return self._answers, len(self._answers) - 1

    def answered(self, answers: list[int | None], index: int, response: Any) -> None:
        """Note the answer to a request."""
        with self.lock:
            for topic in response.responses:
                for partition in topic.partition_responses:
                    answers[index] = partition.error_code


class WatchedClient(SigningClient):
    """The network client of a KafkaProducer whose Produce requests are watched."""

    def __init__(self, watch: Watch, identity: Identity, **configs: Any) -> None:
        super().__init__(identity, **configs)
        self._watch = watch
        # A topic is created once, where a record asks for it (lfsproxy.broker.cluster), and not again by
        # the refresh of a topic that was deleted since. The manager does not pass this argument on.
        self.cluster.config["allow_auto_create_topics"] = False

    def send(self, node_id: Any, request: Any, **kwargs: Any) -> Any:
        """Send a request; unlike in the base class every error is in the Future that is returned."""
        if not isinstance(request, ProduceRequest):
            return super().send(node_id, request, **kwargs)
        with self._watch.lock:
            if self._watch.is_shut:
                return Future().failure(kafka_errors.IllegalStateError("this producer was given up"))
            try:
                future = super().send(node_id, request, **kwargs)
            except kafka_errors.KafkaError as error:
                return Future().failure(error)
            if future.failed() and isinstance(future.exception, kafka_errors.NodeNotReadyError):
                return future
            answers, index = self._watch.leaves()
        return future.add_callback(lambda response: self._watch.answered(answers, index, response))
