"""Credentials come from botocore's chain, off the reactor thread, and are refreshed in time."""

from __future__ import annotations

import datetime
import threading

from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError, PartialCredentialsError
from twisted.internet import reactor as _reactor
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import TestCase

from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.s3.credentials import ChainCredentials, StaticCredentials

reactor: ReactorBase = _reactor  # type: ignore[assignment]  # the module is the reactor

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Source:
    """Credentials that last an hour; ``now`` is the time they go by."""

    def __init__(self) -> None:
        self.now = NOW
        self.loaded = 0
        self.refreshed = 0
        self.error: Exception | None = None
        self.threads: set[threading.Thread] = set()

    def load(self) -> Credentials:
        self.loaded += 1
        self.threads.add(threading.current_thread())
        return RefreshableCredentials(
            "key-0", "secret", "token", self._end(), self._refresh, "test", time_fetcher=lambda: self.now
        )

    def _end(self) -> datetime.datetime:
        return self.now + datetime.timedelta(hours=1)

    def _refresh(self) -> dict[str, str]:
        self.refreshed += 1
        self.threads.add(threading.current_thread())
        if self.error is not None:
            raise self.error
        return {
            "access_key": f"key-{self.refreshed}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": self._end().isoformat(),
        }

    def pass_minutes(self, minutes: float) -> None:
        self.now += datetime.timedelta(minutes=minutes)


class ChainTests(TestCase):
    def setUp(self) -> None:
        self.source = Source()
        self.chain = ChainCredentials(reactor, self.source.load)

    async def key(self) -> str | None:
        return (await self.chain.current()).access_key

    async def settle(self) -> None:
        """Wait until a refresh in the background is done."""
        while self.chain.refreshing:
            waiter: Deferred[None] = Deferred()
            reactor.callLater(0, waiter.callback, None)
            await waiter

    async def test_the_chain_is_asked_once_and_off_the_reactor_thread(self) -> None:
        keys = await gatherResults([Deferred.fromCoroutine(self.key()) for _ in range(5)])
        self.assertEqual(["key-0"] * 5, keys)
        self.assertEqual("key-0", await self.key())
        self.assertEqual(1, self.source.loaded)
        self.assertNotIn(threading.current_thread(), self.source.threads)

    async def test_near_their_end_they_are_refreshed_while_the_old_ones_serve(self) -> None:
        await self.key()
        self.source.pass_minutes(50)
        self.assertEqual("key-0", await self.key())
        await self.settle()
        self.assertEqual("key-1", await self.key())
        self.assertEqual(1, self.source.refreshed)
        self.assertNotIn(threading.current_thread(), self.source.threads)

    async def test_at_their_end_the_refresh_is_waited_for(self) -> None:
        await self.key()
        self.source.pass_minutes(59)
        self.assertEqual("key-1", await self.key())

    async def test_a_refresh_that_fails_early_is_no_error(self) -> None:
        await self.key()
        self.source.pass_minutes(55)
        self.source.error = CredentialRetrievalError(provider="test", error_msg="down")
        self.assertEqual("key-0", await self.key())
        await self.settle()
        self.assertEqual("key-0", await self.key())
        await self.settle()

    async def test_a_refresh_that_fails_at_their_end_is_trouble_that_may_pass(self) -> None:
        await self.key()
        self.source.pass_minutes(61)
        self.source.error = CredentialRetrievalError(provider="test", error_msg="down")
        with self.assertRaisesRegex(StoreUnavailable, "down"):
            await self.key()
        self.source.error = None
        self.assertEqual("key-2", await self.key())

    async def test_no_credentials_are_a_refusal_that_says_what_to_set(self) -> None:
        with self.assertRaisesRegex(StoreRefused, "AWS_ACCESS_KEY_ID"):
            await ChainCredentials(reactor, lambda: None).current()

    async def test_credentials_that_appear_later_are_found(self) -> None:
        found: list[Credentials | None] = [None, Credentials("late", "secret")]
        chain = ChainCredentials(reactor, lambda: found.pop(0))
        with self.assertRaises(StoreRefused):
            await chain.current()
        self.assertEqual("late", (await chain.current()).access_key)

    async def test_half_credentials_are_a_refusal(self) -> None:
        def half() -> Credentials:
            raise PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY")

        with self.assertRaisesRegex(StoreRefused, "AWS_SECRET_ACCESS_KEY"):
            await ChainCredentials(reactor, half).current()

    async def test_who_gives_up_waiting_does_not_disturb_the_others(self) -> None:
        first = Deferred.fromCoroutine(self.key())
        second = Deferred.fromCoroutine(self.key())
        first.addErrback(lambda _: None)
        first.cancel()
        self.assertEqual("key-0", await second)

    async def test_many_that_wait_for_them_all_get_them_in_order(self) -> None:
        order: list[int] = []

        async def sign(number: int) -> None:
            await self.key()
            order.append(number)

        signing = [Deferred.fromCoroutine(sign(number)) for number in range(5000)]
        for each in signing[1000:2000]:
            each.addErrback(lambda failure: failure.trap(CancelledError))
            each.cancel()
        await gatherResults(signing)
        self.assertEqual([*range(1000), *range(2000, 5000)], order)

    async def test_the_environment_is_part_of_the_chain(self) -> None:
        import os

        self.patch(
            os, "environ", {**os.environ, "AWS_ACCESS_KEY_ID": "from-env", "AWS_SECRET_ACCESS_KEY": "s"}
        )
        self.assertEqual("from-env", (await ChainCredentials(reactor).current()).access_key)

    def test_secrets_do_not_show(self) -> None:
        shown = repr(StaticCredentials("key", "the-secret", "the-token"))
        self.assertNotIn("the-secret", shown)
        self.assertNotIn("the-token", shown)
