"""What a scripted broker (``brokers``) may do with a question instead of answering it."""

from __future__ import annotations

import struct

from twisted.internet.interfaces import IReactorTime

from tests.kafka.brokers import Act, Asked, BrokerSide


def silent(side: BrokerSide, asked: Asked) -> None:
    """Nothing happens."""


def gone(side: BrokerSide, asked: Asked) -> None:
    """The connection ends, and nothing was done."""
    side.hang_up()


def gone_after(side: BrokerSide, asked: Asked) -> None:
    """The connection ends when it is done, before the answer."""
    side.brokers.answer(asked)
    side.hang_up()


def half_said(side: BrokerSide, asked: Asked) -> None:
    """The connection ends in the middle of the answer."""
    data = side.brokers.answer(asked)
    side.wire.arrive(struct.pack(">i", len(data)) + data[: len(data) // 2])
    side.hang_up()


def slowly(clock: IReactorTime, size: int, seconds: float) -> Act:
    """The answer comes in pieces of ``size`` bytes, one each ``seconds``."""

    def act(side: BrokerSide, asked: Asked) -> None:
        data = side.brokers.answer(asked)
        data = struct.pack(">i", len(data)) + data

        def go_on(place: int) -> None:
            if side.is_open:
                side.wire.arrive(data[place : place + size])
                if place + size < len(data):
                    clock.callLater(seconds, go_on, place + size)

        go_on(0)

    return act


def garbage(side: BrokerSide, asked: Asked) -> None:
    """It is done, and the answer is none."""
    side.brokers.answer(asked)
    side.say(struct.pack(">i", asked.correlation_id) + b"\xff" * 20)


def other_question(side: BrokerSide, asked: Asked) -> None:
    """It is done, and the answer is to another question."""
    data = side.brokers.answer(asked)
    side.say(struct.pack(">i", asked.correlation_id + 1) + data[4:])


def twice(side: BrokerSide, asked: Asked) -> None:
    """The answer comes twice."""
    data = side.brokers.answer(asked)
    side.say(data)
    side.say(data)


def two_gigabytes(side: BrokerSide, asked: Asked) -> None:
    """The answer is said to have 2 GB."""
    side.wire.arrive(struct.pack(">ii", 2**31 - 1, asked.correlation_id) + bytes(1000))


def code(number: int, message: str | None = None) -> Act:
    """A Produce request is answered with an error, and not done."""

    def act(side: BrokerSide, asked: Asked) -> None:
        side.say(side.brokers.produce_answer(asked, number, message=message))

    return act


def code_after(number: int) -> Act:
    """A Produce request is done, and answered with an error, or without an offset (0)."""

    def act(side: BrokerSide, asked: Asked) -> None:
        side.brokers.append(asked)
        side.say(side.brokers.produce_answer(asked, number))

    return act
