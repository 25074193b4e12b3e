"""Which address is asked first."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.kafka.bootstrap import ALIVE_SECONDS, HUNG_SECONDS, Bootstrap
from lfsproxy.settings import Address

A, B, C, D = (Address("10.0.0.1", port) for port in range(9092, 9096))


class BootstrapTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.bootstrap = Bootstrap(self.clock, (A, B))

    def firsts(self) -> set[Address]:
        return {self.bootstrap.targets()[0] for _ in range(10)}

    def test_each_comes_first_in_turn(self) -> None:
        self.assertEqual(self.firsts(), {A, B})

    def test_known_brokers_come_before_those_of_the_setting(self) -> None:
        self.bootstrap.follow([B, C, D])
        self.assertEqual(self.firsts(), {B, C, D})
        self.assertEqual(self.bootstrap.targets()[-1], A)
        self.assertEqual(set(self.bootstrap.targets()), {A, B, C, D})

    def test_a_broker_that_is_gone_is_forgotten(self) -> None:
        self.bootstrap.follow([C])
        self.bootstrap.hung(C)
        self.bootstrap.follow([D])
        self.assertEqual(set(self.bootstrap.targets()), {A, B, D})
        self.assertFalse(self.bootstrap.is_suspect(C))

    def test_one_that_hung_comes_last_for_a_while(self) -> None:
        self.bootstrap.follow([C])
        self.bootstrap.hung(C)
        self.assertEqual({self.bootstrap.targets()[-1] for _ in range(10)}, {C})
        self.clock.advance(HUNG_SECONDS)
        self.assertEqual(self.firsts(), {C})

    def test_one_that_answers_again_is_as_good_as_any(self) -> None:
        self.bootstrap.hung(A)
        self.assertEqual(self.firsts(), {B})
        self.bootstrap.answered(A)
        self.assertEqual(self.firsts(), {A, B})

    def test_an_answer_is_a_sign_of_life_for_a_while(self) -> None:
        self.assertFalse(self.bootstrap.is_alive(A))
        self.bootstrap.answered(A)
        self.assertTrue(self.bootstrap.is_alive(A))
        self.clock.advance(ALIVE_SECONDS)
        self.assertFalse(self.bootstrap.is_alive(A))
        self.bootstrap.answered(A)
        self.bootstrap.hung(A)
        self.assertFalse(self.bootstrap.is_alive(A))

    def test_controllers_come_last_of_all(self) -> None:
        self.bootstrap.controllers.add(A)
        self.bootstrap.hung(B)
        self.assertEqual(self.bootstrap.targets(), [B, A])
