"""What the log says first of the settings: those for consumers that get blobs, where they change nothing."""

from __future__ import annotations

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.opening import say_settings
from lfsproxy.settings import load_settings


def warnings_of(**environment: str) -> list[str]:
    """The warnings about these settings."""
    with capturedLogs() as events:
        say_settings(load_settings(environment, {}))
    return [formatEvent(event) for event in events if event["log_level"] == LogLevel.warn]


class WithoutEffectTests(SynchronousTestCase):
    def test_what_works_is_not_warned_of(self) -> None:
        for environment in (
            {},
            {"LFS_OFFLOAD_THRESHOLD": "100MB"},
            {"LFS_HYDRATE_CLIENT_IDS": "*", "LFS_HYDRATE_MISSING": "error"},
            {
                "LFS_HYDRATE_TOPICS": "*,!audit",
                "LFS_HYDRATE_CLIENT_IDS": "!sdk-*",
                "LFS_HYDRATE_MAX_SIZE": "1000000",
                "LFS_OFFLOAD_THRESHOLD": "1000000",
            },
        ):
            self.assertEqual(warnings_of(**environment), [], environment)

    def test_settings_without_topics_are_named(self) -> None:
        self.assertEqual(
            warnings_of(LFS_HYDRATE_CLIENT_IDS="sdk-*", LFS_HYDRATE_MISSING="envelope"),
            [
                "LFS_HYDRATE_CLIENT_IDS and LFS_HYDRATE_MISSING without LFS_HYDRATE_TOPICS: no consumer gets "
                "blobs"
            ],
        )

    def test_globs_that_leave_everything_out_are_named(self) -> None:
        for name in ("LFS_HYDRATE_TOPICS", "LFS_HYDRATE_CLIENT_IDS"):
            self.assertEqual(
                warnings_of(**{"LFS_HYDRATE_TOPICS": "*", name: "kcat,!*"}),
                [f"{name} leaves out everything by !*: no consumer gets blobs"],
            )

    def test_a_largest_blob_below_the_threshold_is_named(self) -> None:
        self.assertEqual(
            warnings_of(LFS_HYDRATE_TOPICS="*", LFS_HYDRATE_MAX_SIZE="999kB", LFS_OFFLOAD_THRESHOLD="1MB"),
            [
                "LFS_HYDRATE_MAX_SIZE is 999000, below LFS_OFFLOAD_THRESHOLD, 1000000: consumers get an "
                "envelope for each value that is stored for its size"
            ],
        )
