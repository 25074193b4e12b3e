"""Credentials come from botocore's chain, off the reactor thread, and are refreshed in time."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from typing import Any

from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import ClientError, CredentialRetrievalError, PartialCredentialsError
from twisted.internet import reactor as _reactor
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.s3.credentials import (
    PAUSE,
    RENEWAL_PAUSE,
    SHORT_WAIT,
    ChainCredentials,
    StaticCredentials,
)

reactor: ReactorBase = _reactor  # type: ignore[assignment]  # the module is the reactor

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Source:
    """Credentials that last an hour; ``now`` is the time they go by."""

    def __init__(self) -> None:
        self.now = NOW
        self.loaded = 0
        self.refreshed = 0
        self.error: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
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
        self.answers.wait(30)
        if self.error is not None:
            raise self.error
        return {
            "access_key": f"key-{self.refreshed}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": self._end().isoformat(),
        }


class ChainTests(TestCase):
    def setUp(self) -> None:
        self.source = Source()
        self.clock = Clock()
        self.files: list[tuple[int, int, int] | None] = [(1, 1, 1)]
        self.chain = self.make(self.source.load)

    def make(self, load: Callable[[], Credentials | None]) -> ChainCredentials:
        return ChainCredentials(reactor, 15, load, lambda: list(self.files), self.clock)

    async def key(self) -> str | None:
        return (await self.chain.current()).access_key

    def pass_minutes(self, minutes: float) -> None:
        """Time passes for botocore and for the proxy."""
        self.source.now += datetime.timedelta(minutes=minutes)
        self.clock.advance(minutes * 60)

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
        self.pass_minutes(50)
        self.assertEqual("key-0", await self.key())
        await self.settle()
        self.assertEqual("key-1", await self.key())
        self.assertEqual(1, self.source.refreshed)
        self.assertNotIn(threading.current_thread(), self.source.threads)

    async def test_at_their_end_the_refresh_is_waited_for(self) -> None:
        await self.key()
        self.pass_minutes(59)
        self.assertEqual("key-1", await self.key())

    async def test_a_refresh_that_fails_early_is_no_error(self) -> None:
        await self.key()
        self.pass_minutes(55)
        self.source.error = CredentialRetrievalError(provider="test", error_msg="down")
        self.assertEqual("key-0", await self.key())
        await self.settle()
        self.assertEqual("key-0", await self.key())
        await self.settle()

    async def test_a_refresh_that_fails_at_their_end_is_trouble_that_may_pass(self) -> None:
        await self.key()
        self.pass_minutes(61)
        self.source.error = CredentialRetrievalError(provider="test", error_msg="down")
        with self.assertRaisesRegex(StoreUnavailable, "down"):
            await self.key()
        self.source.error = None
        self.assertEqual("key-2", await self.key())

    async def test_while_the_old_ones_hold_a_refresh_that_fails_at_their_end_is_no_error_either(self) -> None:
        await self.key()
        self.source.error = CredentialRetrievalError(provider="test", error_msg="down")
        self.pass_minutes(59)
        self.assertEqual("key-0", await self.key())
        self.assertEqual("key-0", await self.key())
        self.assertEqual(1, self.source.refreshed)
        self.pass_minutes(0.5)
        self.source.error = None
        self.assertEqual("key-2", await self.key())

    async def test_a_server_in_trouble_is_not_asked_with_every_request(self) -> None:
        await self.key()
        self.source.error = CredentialRetrievalError(provider="test", error_msg="down")
        self.pass_minutes(50)
        for _ in range(20):
            self.assertEqual("key-0", await self.key())
            await self.settle()
        self.assertEqual(1, self.source.refreshed)
        self.clock.advance(PAUSE)
        self.assertEqual("key-0", await self.key())
        await self.settle()
        self.assertEqual(2, self.source.refreshed)

    async def hang(self, minutes: float) -> None:
        """From now on who gives credentials does not answer until the test ends."""
        await self.key()
        self.source.answers.clear()
        self.addCleanup(self.settle)
        self.addCleanup(self.source.answers.set)
        self.pass_minutes(minutes)

    async def test_a_server_that_hangs_holds_up_nobody_while_the_old_ones_hold(self) -> None:
        await self.hang(50)
        for _ in range(3):
            self.assertEqual("key-0", await self.key())
            self.assertLessEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.advance(PAUSE)
        self.assertEqual(1, self.source.refreshed)

    async def test_near_their_end_it_holds_up_one_request_for_a_moment_only(self) -> None:
        await self.hang(59)
        waiting = Deferred.fromCoroutine(self.key())
        self.assertNoResult(waiting)
        self.clock.advance(SHORT_WAIT)
        self.assertEqual("key-0", await waiting)
        self.assertEqual("key-0", await self.key())

    async def test_after_their_end_a_request_waits_no_longer_than_it_may(self) -> None:
        await self.hang(61)
        waiting = Deferred.fromCoroutine(self.key())
        self.assertNoResult(waiting)
        self.clock.advance(15)
        with self.assertRaisesRegex(StoreUnavailable, "not there after 15 s"):
            await waiting
        self.source.answers.set()
        self.assertEqual("key-1", await self.key())

    async def test_no_thread_that_hangs_keeps_the_process_alive(self) -> None:
        await self.key()
        self.assertTrue(all(thread.daemon for thread in self.source.threads))

    async def test_a_machine_without_threads_just_now_is_trouble_that_may_pass(self) -> None:
        def start(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patched = self.patch(threading.Thread, "start", start)
        asked = Deferred.fromCoroutine(self.key())
        error = self.failureResultOf(asked, StoreUnavailable)
        self.assertIn("can't start new thread", str(error.value))
        patched.restore()
        self.assertEqual("key-0", await self.key())

    async def test_a_file_that_has_changed_is_read_again_in_the_background(self) -> None:
        found = [Credentials("old", "secret"), Credentials("new", "secret")]
        self.chain = self.make(lambda: found.pop(0))
        self.assertEqual("old", await self.key())
        for stamp, wanted in (((1, 1, 1), "old"), ((2, 1, 1), "new")):
            self.files = [stamp]
            self.clock.advance(PAUSE)
            self.assertEqual("old", await self.key())
            await self.settle()
            self.assertEqual(wanted, await self.key())

    async def test_a_role_is_looked_for_anew_where_the_file_has_changed_since(self) -> None:
        await self.key()
        self.files = [(2, 1, 1)]
        self.pass_minutes(61)
        await self.key()
        self.assertEqual((2, 0), (self.source.loaded, self.source.refreshed))

    async def test_a_file_that_is_half_written_changes_nothing(self) -> None:
        found: list[Credentials | None] = [Credentials("old", "secret"), None, Credentials("new", "secret")]
        self.chain = self.make(lambda: found.pop(0))
        await self.key()
        self.files = [None]
        for wanted in ("old", "new"):
            self.clock.advance(PAUSE)
            self.assertEqual("old", await self.key())
            await self.settle()
            self.assertEqual(wanted, await self.key())

    async def test_credentials_that_were_refused_are_looked_for_again_but_not_all_the_time(self) -> None:
        refused = await self.chain.current()
        self.assertTrue(await self.chain.renewed(ReadOnlyCredentials("other", "secret", None)))
        self.assertFalse(await self.chain.renewed(refused))
        self.assertFalse(await self.chain.renewed(refused))
        self.assertEqual(2, self.source.loaded)
        self.clock.advance(RENEWAL_PAUSE)
        self.assertFalse(await self.chain.renewed(refused))
        self.assertEqual(3, self.source.loaded)

    async def test_those_of_the_environment_are_the_only_ones(self) -> None:
        loaded: list[Credentials] = []

        def load() -> Credentials:
            loaded.append(Credentials("key", "secret", method="env"))
            return loaded[-1]

        self.chain = self.make(load)
        refused = await self.chain.current()
        self.files = [(2, 1, 1)]
        self.clock.advance(PAUSE)
        self.assertEqual(refused, await self.chain.current())
        self.assertFalse(await self.chain.renewed(refused))
        self.assertEqual(1, len(loaded))

    async def test_several_that_were_refused_at_once_share_the_search(self) -> None:
        found = [Credentials("old", "secret"), Credentials("new", "secret")]
        self.chain = self.make(lambda: found.pop(0))
        refused = await self.chain.current()
        renewed = await gatherResults([Deferred.fromCoroutine(self.chain.renewed(refused)) for _ in range(4)])
        self.assertEqual([True] * 4, renewed)
        self.assertEqual("new", await self.key())

    async def test_trouble_of_a_token_service_may_pass_and_its_refusal_does_not(self) -> None:
        for status, code, kind in (
            (503, "InternalFailure", StoreUnavailable),
            (400, "IDPCommunicationError", StoreUnavailable),
            (403, "AccessDenied", StoreRefused),
        ):
            said: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}

            def load(said: Any = said) -> Credentials:
                raise ClientError(said, "AssumeRoleWithWebIdentity")

            with self.assertRaisesRegex(kind, code):
                await self.make(load).current()

    async def test_no_credentials_are_a_refusal_that_says_what_to_set(self) -> None:
        with self.assertRaisesRegex(StoreRefused, "AWS_ACCESS_KEY_ID"):
            await self.make(lambda: None).current()

    async def test_credentials_that_appear_later_are_found(self) -> None:
        found: list[Credentials | None] = [None, Credentials("late", "secret")]
        chain = self.make(lambda: found.pop(0))
        with self.assertRaises(StoreRefused):
            await chain.current()
        self.assertEqual("late", (await chain.current()).access_key)

    async def test_half_credentials_are_a_refusal(self) -> None:
        def half() -> Credentials:
            raise PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY")

        with self.assertRaisesRegex(StoreRefused, "AWS_SECRET_ACCESS_KEY"):
            await self.make(half).current()

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
        self.assertEqual("from-env", (await ChainCredentials(reactor, 15).current()).access_key)

    def test_secrets_do_not_show(self) -> None:
        shown = repr(StaticCredentials("key", "the-secret", "the-token"))
        self.assertNotIn("the-secret", shown)
        self.assertNotIn("the-token", shown)
