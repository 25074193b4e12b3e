"""A session's life by itself: every state and event is decided, and every way through it ends in order."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.relay.life import TABLE, Action, Event, Life, State

END_NOW = (Action.STOP_CONNECTING, Action.ABANDON, Action.ABORT)


def after(*events: Event) -> Life:
    """A life in which these have happened."""
    life = Life()
    for event in events:
        life.happened(event)
    return life


class TableTests(SynchronousTestCase):
    def test_every_event_is_decided_in_every_state(self) -> None:
        self.assertEqual(
            {state: set(steps) for state, steps in TABLE.items()}, {s: set(Event) for s in State}
        )

    def test_what_each_way_of_ending_does(self) -> None:
        ways: list[tuple[str, list[tuple[Event, State, tuple[Action, ...]]]]] = [
            (
                "the client leaves",
                [
                    (Event.CONNECTED, State.OPEN, ()),
                    (Event.CLIENT_LOST, State.OPEN, (Action.STOP_FOR_CLIENT,)),
                    (Event.READING_ENDED, State.CLIENT_GONE, (Action.CANCEL_FOR_CLIENT,)),
                    (Event.SETTLED, State.CLOSING, ()),
                    (Event.BROKER_OVER, State.OVER, (Action.ABANDON,)),
                ],
            ),
            (
                "the client leaves before there is a broker",
                [
                    (Event.CLIENT_LOST, State.CONNECTING, (Action.STOP_CONNECTING,)),
                    (Event.NOT_CONNECTED, State.OVER, ()),
                ],
            ),
            (
                "the broker leaves in the middle of a request",
                [
                    (Event.CONNECTED, State.OPEN, ()),
                    (
                        Event.BROKER_LOST,
                        State.CLOSING,
                        (Action.STOP_READING, Action.CANCEL_FOR_CLIENT, Action.FINISH_CLIENT),
                    ),
                    (Event.READING_ENDED, State.CLOSING, (Action.CANCEL_FOR_CLIENT,)),
                    (Event.BROKER_OVER, State.OVER, (Action.ABANDON,)),
                ],
            ),
            (
                "a drain",
                [
                    (Event.CONNECTED, State.OPEN, ()),
                    (Event.DRAIN, State.DRAINING, (Action.STOP_BETWEEN_REQUESTS,)),
                    (Event.READING_ENDED, State.DRAINING, ()),
                    (
                        Event.ALL_ANSWERED,
                        State.CLIENT_GONE,
                        (Action.CANCEL_FOR_CLIENT, Action.FINISH_CLIENT),
                    ),
                    (Event.SETTLED, State.CLOSING, ()),
                    (Event.BROKER_OVER, State.OVER, (Action.ABANDON,)),
                ],
            ),
            (
                "a drain before there is a broker",
                [
                    (Event.DRAIN, State.DRAINING, ()),
                    (Event.CONNECTED, State.DRAINING, ()),
                    (Event.READING_ENDED, State.DRAINING, ()),
                    (
                        Event.ALL_ANSWERED,
                        State.CLIENT_GONE,
                        (Action.CANCEL_FOR_CLIENT, Action.FINISH_CLIENT),
                    ),
                ],
            ),
            (
                "a stop",
                [
                    (Event.CONNECTED, State.OPEN, ()),
                    (Event.GIVE_UP, State.CLOSING, END_NOW),
                    (Event.CLIENT_LOST, State.CLOSING, (Action.STOP_FOR_CLIENT,)),
                    (Event.READING_ENDED, State.CLOSING, (Action.CANCEL_FOR_CLIENT,)),
                    (Event.BROKER_OVER, State.OVER, (Action.ABANDON,)),
                    (Event.GIVE_UP, State.OVER, (Action.ABORT,)),
                ],
            ),
        ]
        for way, steps in ways:
            life = Life()
            for number, (event, state, actions) in enumerate(steps):
                self.assertEqual(
                    (life.happened(event), life.state), (actions, state), f"{way}, step {number}"
                )


def ways(length: int, before: tuple[Event, ...] = ()) -> Iterator[tuple[Event, ...]]:
    """Every order in which events may come that a session tells: some only once, some only after others."""
    yield before
    if len(before) == length:
        return
    for event in Event:
        if event not in before and _may_come(event, before):
            yield from ways(length, (*before, event))


def _may_come(event: Event, before: tuple[Event, ...]) -> bool:
    match event:
        case Event.CONNECTED:
            return Event.NOT_CONNECTED not in before
        case Event.NOT_CONNECTED:
            return Event.CONNECTED not in before
        case Event.READING_ENDED | Event.BROKER_LOST:
            return Event.CONNECTED in before
        case Event.ALL_ANSWERED:
            return Event.READING_ENDED in before and after(*before).state is State.DRAINING
        case Event.SETTLED:
            return after(*before).state is State.CLIENT_GONE
        case Event.BROKER_OVER:
            closing = after(*before).state is State.CLOSING
            return closing and {Event.READING_ENDED, Event.BROKER_LOST} <= set(before)
    return True


class EveryWayTests(SynchronousTestCase):
    """All orders of all events: there are few enough."""

    def setUp(self) -> None:
        self.ways = list(ways(len(Event)))
        self.assertGreater(len(self.ways), 1000)

    def actions(self, way: tuple[Event, ...]) -> list[Action]:
        life = Life()
        return [action for event in way for action in life.happened(event)]

    def test_a_session_is_over_only_at_its_end(self) -> None:
        for way in self.ways:
            ended = Event.BROKER_OVER in way or Event.NOT_CONNECTED in way
            self.assertEqual(after(*way).state is State.OVER, ended, way)

    def test_nothing_that_was_forwarded_is_abandoned_before_the_broker_is_over_or_a_stop(self) -> None:
        for way in self.ways:
            abandons = Action.ABANDON in self.actions(way)
            stopped = Event.GIVE_UP in way and after(*way[: way.index(Event.GIVE_UP)]).state is not State.OVER
            self.assertEqual(abandons, stopped or Event.BROKER_OVER in way, way)

    def test_what_is_not_forwarded_is_given_up_before_anything_settles(
        self,
    ) -> None:
        for way in self.ways:
            if Event.SETTLED in way:
                self.assertIn(Action.CANCEL_FOR_CLIENT, self.actions(way[: way.index(Event.SETTLED)]), way)

    def test_no_request_begins_after_a_drain(self) -> None:
        for way in self.ways:
            if Event.DRAIN in way:
                self.assertIsNot(after(*way).state, State.OPEN, way)

    def test_a_drained_session_gives_up_nothing_before_all_is_answered(self) -> None:
        for way in self.ways:
            quiet = {Event.DRAIN, Event.CONNECTED, Event.READING_ENDED, Event.CLIENT_LOST}
            if Event.DRAIN in way[:2] and set(way) <= quiet:
                self.assertFalse({Action.CANCEL_FOR_CLIENT, Action.ABANDON} & set(self.actions(way)), way)

    def test_both_connections_are_closed_by_a_stop_whatever_was_before(self) -> None:
        for way in self.ways:
            if Event.GIVE_UP in way:
                self.assertIn(Action.ABORT, self.actions(way), way)
