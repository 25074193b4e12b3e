"""An upkeep command that does what it is told: ``python -m tests.cli.upkeep_program fsck``."""

from __future__ import annotations

import click
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from lfsproxy.cli import main as cli
from lfsproxy.cli.upkeep import Ended, Job, upkeep
from lfsproxy.errors import StoreUnavailable
from lfsproxy.logs import Logger


@upkeep("Do as told.")
@click.argument("what")
@click.option("--topics", default="*")
async def told(job: Job, what: str, topics: str) -> Ended:
    """Do WHAT."""
    if what == "unavailable":
        raise StoreUnavailable("S3 is away")
    if what == "bug":
        raise ValueError("nobody foresaw this")
    if what == "findings":
        return Ended(True, {"found": "ä"}, "one is wrong")
    if what == "settings":
        return Ended(False, {}, f"{job.settings.s3_bucket} {','.join(job.settings.topics)} {topics}")
    if what == "warn":
        Logger().warn("look: {what}", what="out")
        Logger().info("never mind")
    if what == "ask":
        return Ended(False, {}, f"answered {job.ask('How many?')}")
    if what in ("wait", "hang"):
        job.screen.say("waiting")
        try:
            await Deferred[None]()
        except CancelledError:
            job.screen.note("cleaned up")
            if what == "hang":
                await Deferred[None]()
            raise
    if what == "bars":
        with job.screen.bars() as screen:
            bar = screen.bar("looking [b]at[/b] things", 4)
            for number in range(4):
                bar.advance()
                screen.say(f"line {number}")
                await deferLater(job.reactor, 0.2)
    if what == "lines":
        while True:
            job.screen.say("a line")
            await deferLater(job.reactor, 0)
    return Ended(False, {"found": 0}, "nothing is wrong")


if __name__ == "__main__":
    cli.COMMANDS["fsck"] = f"{__name__}:told"
    cli.main()
