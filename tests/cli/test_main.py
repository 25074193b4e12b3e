"""The ``lfsproxy`` command itself: what it offers, and how it fails."""

from __future__ import annotations

import logging
from typing import Any
from unittest import mock

import click
from click.testing import CliRunner, Result
from kafka.errors import KafkaTimeoutError
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cli import main as cli
from lfsproxy.cli.kafka_log import silence_kafka_log
from lfsproxy.errors import BlobMissing
from lfsproxy.words import is_notation


def run(*arguments: str, **kwargs: Any) -> Result:
    return CliRunner().invoke(cli.main, list(arguments), **kwargs)


class MainTests(SynchronousTestCase):
    def test_help_names_every_command(self) -> None:
        text = run("--help").output
        for name in cli.COMMANDS:
            self.assertIn(f"  {name} ", text)

    def test_every_command_has_help(self) -> None:
        for name in set(cli.COMMANDS) - set(cli.EXTRA):
            result = run(name, "--help")
            self.assertEqual(result.exit_code, 0, name)
            self.assertIn("Usage:", result.output)

    def test_version(self) -> None:
        self.assertRegex(run("--version").output, r"^lfsproxy \d+\.\d+\.\d+\n$")

    def test_an_unknown_command_is_exit_2(self) -> None:
        self.assertEqual(run("frobnicate").exit_code, 2)

    def fails_with(
        self, error: BaseException, *options: str, command: str = "serve", **kwargs: Any
    ) -> Result:
        def raise_it(**_: Any) -> None:
            raise error

        failing = click.Command(command, callback=raise_it)
        with mock.patch.object(cli.Commands, "get_command", lambda *_: failing):
            return run(*options, command, **kwargs)

    def test_errors_are_one_sentence(self) -> None:
        for error, sentence in (
            (BlobMissing("the blob b/k is missing"), "the blob b/k is missing"),
            (KafkaTimeoutError("no answer"), "Kafka: no answer"),
            (FileNotFoundError(2, "No such file or directory", "x.bin"), "x.bin: No such file or directory"),
        ):
            result = self.fails_with(error)
            self.assertEqual((result.exit_code, result.output), (1, f"Error: {sentence}\n"))

    def test_an_error_that_nobody_foresaw_says_so_and_how_to_see_more(self) -> None:
        result = self.fails_with(ZeroDivisionError("division by zero"))
        self.assertEqual(
            (result.exit_code, result.output),
            (
                70,
                "Error: this is a bug in lfsproxy: division by zero (ZeroDivisionError); "
                "LFS_LOG_LEVEL=debug, or --debug before the command, shows where\n",
            ),
        )

    def test_where_a_failure_comes_from_is_shown_when_asked(self) -> None:
        for options, variables in (([], {"LFS_LOG_LEVEL": "debug"}), (["--debug"], {})):
            result = self.fails_with(BlobMissing("it is missing"), *options, env=variables)
            self.assertEqual(result.exit_code, 1)
            self.assertIn("Traceback", result.stderr)
            self.assertTrue(result.stderr.endswith("\nError: it is missing\n"), result.stderr)

    def test_a_sentence_is_on_one_line(self) -> None:
        for text in ("one\ntwo", "one\r\n  two", "\tone two "):
            self.assertEqual(self.fails_with(BlobMissing(text)).output, "Error: one two\n")

    def test_no_message_is_empty(self) -> None:
        for error in (
            BlobMissing(""),
            OSError(),
            KafkaTimeoutError(),
            MemoryError(),
            KeyError(b"x"),
            Exception(),
        ):
            said = self.fails_with(error).output
            self.assertRegex(said, r"^Error: \w.{5,}\n$")
            self.assertFalse(is_notation(said), said)

    def test_an_interrupt_says_what_may_have_happened(self) -> None:
        for command, said in (("consume", ""), ("keys", "Error: interrupted\n")):
            result = self.fails_with(KeyboardInterrupt(), command=command)
            self.assertEqual((result.exit_code, result.output), (130, said))
        self.assertIn("may be published", self.fails_with(KeyboardInterrupt(), command="upload").output)

    def test_a_command_whose_extra_is_not_installed(self) -> None:
        missing = ModuleNotFoundError("No module named 'psutil'", name="psutil")
        with mock.patch("importlib.import_module", side_effect=missing):
            result = run("demo", "--once")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("needs psutil: install it by pip install 'lfsproxy[demo]'", result.output)


class ServeTests(SynchronousTestCase):
    def serve(self, *arguments: str) -> tuple[Result, list[list[str]]]:
        started: list[list[str]] = []

        def twistd() -> None:
            import sys

            started.append(list(sys.argv))

        with mock.patch("sys.argv", ["lfsproxy"]), mock.patch("twisted.scripts.twistd.run", twistd):
            return run("serve", *arguments), started

    def test_runs_twistd_in_the_foreground_without_a_pid_file(self) -> None:
        result, started = self.serve("--http-addr", ":8181", "--namespace=n")
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(
            started,
            [["lfsproxy", "--nodaemon", "--pidfile=", "lfsproxy", "--http-addr", ":8181", "--namespace=n"]],
        )

    def test_help_lists_the_settings(self) -> None:
        result, started = self.serve("--help")
        self.assertIn("LFS_S3_ENDPOINT", result.output)
        self.assertEqual(started, [])

    def test_an_unknown_option_is_one_sentence(self) -> None:
        result, started = self.serve("--nonsense")
        self.assertEqual((result.exit_code, started), (2, []))
        self.assertIn("option --nonsense not recognized", result.output)
        self.assertNotIn("LFS_S3_ENDPOINT", result.output)

    def test_kafkas_log_is_treated_as_twistd_does(self) -> None:
        logger = logging.getLogger("kafka")
        before, handlers = (logger.level, logger.propagate), list(logger.handlers)
        self.addCleanup(setattr, logger, "handlers", handlers)
        logger.handlers = []
        self.serve()
        self.assertEqual(((logger.level, logger.propagate), logger.handlers), (before, []))
        silence_kafka_log()
        self.assertEqual([type(each) for each in logger.handlers], [logging.NullHandler])
        self.assertFalse(logger.propagate)
