"""The order of answers by itself: what may leave now, given what is at hand and what is expected."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError
from lfsproxy.relay.order import MOST_HELD, MOST_UNANSWERED, Answer, Expected, Order


class OrderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.order = Order()

    def test_what_may_leave(self) -> None:
        """Answers by name; each step completes one, or has the broker's next one pass."""
        a, b, c, d = (self.order.new() for _ in "abcd")
        table: list[tuple[Answer, bytes, list[bytes]]] = [
            (c, b"c", []),
            (a, b"a", [b"a"]),
            (b, b"", [b"c"]),
            (d, b"d", [b"d"]),
        ]
        for answer, data, left in table:
            self.assertFalse(self.order.all_left)
            self.order.complete(answer, data)
            self.assertEqual(self.order.leaving(), left)
        self.assertTrue(self.order.all_left)

    def test_nothing_leaves_in_the_middle_of_one_that_leaves_in_pieces(self) -> None:
        first, second = self.order.new(), self.order.new()
        self.order.begin_to_leave(first)
        self.order.complete(second, b"second")
        self.assertEqual(self.order.leaving(), [])
        self.order.left(first)
        self.assertEqual(self.order.leaving(), [b"second"])

    def test_there_is_room_for_so_many(self) -> None:
        for _ in range(MOST_UNANSWERED):
            self.assertFalse(self.order.is_full)
            last = self.order.new()
        self.assertTrue(self.order.is_full)
        self.order.complete(last, b"last")
        self.assertTrue(self.order.is_full)

    def test_and_for_so_many_bytes_behind_one_that_is_awaited(self) -> None:
        first, second, third = (self.order.new() for _ in range(3))
        self.order.complete(second, bytes(MOST_HELD - 1))
        self.assertFalse(self.order.is_full)
        self.order.complete(third, b"x")
        self.assertTrue(self.order.is_full)
        self.order.complete(first, b"first")
        self.assertEqual(len(self.order.leaving()), 3)
        self.assertFalse(self.order.is_full)

    def test_one_that_is_not_next_cannot_begin_to_leave(self) -> None:
        _, second = self.order.new(), self.order.new()
        with self.assertRaisesRegex(FramingError, "not the next one in order"):
            self.order.begin_to_leave(second)

    def test_the_broker_answers_in_the_order_in_which_it_was_asked(self) -> None:
        asked = [Expected(1, self.order.new()), Expected(None, None), Expected(3, self.order.new())]
        for each in asked:
            self.order.expect(each)
        with self.assertRaisesRegex(FramingError, "the broker answered 3 where 1 was next"):
            self.order.begun(3)
        for correlation_id, each in zip((1, 77, 3), asked, strict=True):
            self.assertFalse(self.order.all_came)
            self.assertIs(self.order.begun(correlation_id), each)
            self.order.came()
        self.assertTrue(self.order.all_came)
        with self.assertRaisesRegex(FramingError, "answered 4, which was not asked"):
            self.order.begun(4)

    def test_what_is_lost_is_told_once(self) -> None:
        lost: list[int] = []
        for number in range(3):
            self.order.expect(Expected(number, None, lost=partial(lost.append, number)))
        self.order.expect(Expected(3, self.order.new()))
        self.order.begun(0)
        self.order.came()
        for _ in range(2):
            for tell in self.order.lose():
                tell()
        self.assertEqual((lost, self.order.all_came), ([1, 2], True))

    def test_only_what_decides_about_blobs_is_waited_for_without_a_client(self) -> None:
        self.order.expect(Expected(1, self.order.new(), lost=lambda: None))
        self.assertFalse(self.order.decides_more)
        self.order.expect(Expected(2, self.order.new(), decides=True))
        self.assertTrue(self.order.decides_more)
        self.order.came()
        self.order.came()
        self.assertFalse(self.order.decides_more)


class _World:
    """A client whose requests are answered by the broker, by the proxy, or not at all; and what it gets.

    ``wanted`` are its answers in the order of its requests, ``out`` what has left.
    """

    def __init__(self) -> None:
        self.order = Order()
        self.out: list[bytes] = []
        self.wanted: list[bytes] = []
        self.open: list[tuple[Answer, bytes]] = []
        self.asked: list[tuple[Expected, bytes]] = []

    def _name(self) -> bytes:
        self.wanted.append(b"%d" % len(self.wanted))
        return self.wanted[-1]

    def forward(self) -> None:
        """A request goes to the broker: every earlier one has, or is answered, as the line sees to."""
        self.complete(len(self.open))
        name, expected = self._name(), Expected(None, self.order.new())
        self.asked.append((expected, name))
        self.order.expect(expected)

    def ask_proxy(self) -> None:
        """A request that the proxy answers, later on."""
        self.open.append((self.order.new(), self._name()))

    def ask_nobody(self) -> None:
        """A request without an answer."""
        self.order.new().data = b""
        self.out += self.order.leaving()

    def question(self) -> None:
        """The proxy asks for itself."""
        expected = Expected(None, None)
        self.asked.append((expected, b""))
        self.order.expect(expected)

    def complete(self, count: int = 1) -> None:
        """The proxy's last answers are at hand, before earlier ones."""
        for _ in range(min(count, len(self.open))):
            answer, answer_data = self.open.pop()
            answer.data = answer_data
            self.out += self.order.leaving()

    def broker_answers(self) -> None:
        """The broker's next answer passes in pieces, while one of the proxy's is completed."""
        if not self.asked:
            return
        expected, name = self.asked.pop(0)
        assert self.order.begun(1) is expected
        if expected.answer is not None:
            self.order.begin_to_leave(expected.answer)
            left = len(self.out)
            self.complete()
            assert len(self.out) == left, "another answer has left in the middle of one"
            self.out.append(name)
            self.order.left(expected.answer)
        self.order.came()
        self.out += self.order.leaving()


STEPS: list[Callable[[_World], None]] = [
    _World.forward,
    _World.ask_proxy,
    _World.ask_nobody,
    _World.question,
    _World.complete,
    _World.broker_answers,
]


class EveryOrderTests(SynchronousTestCase):
    @given(st.lists(st.sampled_from(STEPS), max_size=60))
    def test_answers_leave_in_the_order_of_the_requests_each_once(
        self, steps: list[Callable[[_World], None]]
    ) -> None:
        world = _World()
        for step in steps:
            step(world)
            self.assertEqual(world.out, world.wanted[: len(world.out)])
        while world.asked:
            world.broker_answers()
        world.complete(len(world.open))
        self.assertEqual(world.out, world.wanted)
        self.assertTrue(world.order.all_left and world.order.all_came)
