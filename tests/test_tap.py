"""Options of ``twistd lfsproxy``: one flag per setting, and one line for a bad value."""

from __future__ import annotations

from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import SettingError
from lfsproxy.settings import flag, load_settings, setting_table, variable
from lfsproxy.tap import Options, Process


def new_options() -> Options:
    return cast(Options, cast(Any, Options)())  # usage.Options is not typed


class OptionsTests(SynchronousTestCase):
    def options(self, *arguments: str, **environment: str) -> Options:
        self.patch(Options, "environment", environment)
        options = new_options()
        cast(Any, options).parseOptions(arguments)
        return options

    def test_help_shows_every_setting_with_its_variable_and_default(self) -> None:
        # A line may end within a word, behind a hyphen.
        text = "".join(str(new_options()).split())
        for name, info in setting_table().items():
            self.assertIn(f"--{flag(name)}=", text)
            said = f"Allowed: {info.parse.allowed}. [{variable(name)}, default {info.default or 'empty'}]"
            self.assertIn("".join(said.split()), text)

    def test_without_options_the_environment_counts(self) -> None:
        self.assertEqual(
            self.options(LFS_NAMESPACE="team").loaded, load_settings({"LFS_NAMESPACE": "team"}, {})
        )

    def test_the_flag_wins_over_the_environment(self) -> None:
        loaded = self.options("--namespace", "b", LFS_NAMESPACE="a").loaded
        self.assertEqual(loaded.settings.namespace, "b")

    def test_a_bad_value_ends_the_process_with_one_line(self) -> None:
        ended = self.assertRaises(SystemExit, self.options, LFS_CHECKSUM_ALGO="sha1")
        self.assertEqual(
            ended.code, "lfsproxy: LFS_CHECKSUM_ALGO is 'sha1': one of sha256, crc32, md5 is needed"
        )

    def test_a_broker_s_address_that_is_the_proxy_s_own_ends_it_too(self) -> None:
        ended = self.assertRaises(SystemExit, self.options, LFS_KAFKA_BROKERS="localhost:19092")
        self.assertIn("the proxy itself listens there (LFS_KAFKA_ADDR)", str(ended.code))

    def test_an_unknown_option_is_a_usage_error(self) -> None:
        self.assertRaises(UsageError, self.options, "--s3-bukket", "x")


class RefusedStartTests(SynchronousTestCase):
    def test_a_setting_that_is_found_wrong_at_any_step_of_the_start_is_one_line(self) -> None:
        def refuse() -> None:
            raise SettingError("LFS_X is wrong")

        for step in ("privilegedStartService", "startService"):
            proxy = Service()
            setattr(proxy, step, refuse)
            process = Process(MemoryReactorClock(), cast(Any, proxy))
            with capturedLogs() as events:
                self.assertRaises(SystemExit, getattr(process, step))
            self.assertEqual([formatEvent(event) for event in events], ["LFS_X is wrong"])
