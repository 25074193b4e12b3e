"""``python -m lfsproxy.workers NAME``: one worker, started by its parent. NAME is for lists of processes."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lfsproxy.workers.boot import Boot
    from lfsproxy.workers.worker import Worker


def main() -> int:
    """Run the worker; its exit status."""
    # Until it can drain, Ctrl-C in a terminal ends it without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from lfsproxy.slim import slim_imports
    from lfsproxy.workers.boot import Boot

    boot = Boot.load(sys.stdin.buffer)
    with slim_imports(tls=boot.settings.needs_tls):
        worker = _worker(boot)
    return worker.run()


def _worker(boot: Boot) -> Worker:
    from twisted.application.reactors import installReactor
    from twisted.logger import globalLogBeginner

    from lfsproxy.workers.logs import worker_log

    if boot.reactor:
        installReactor(boot.reactor)
    log = worker_log(boot.settings, boot.index, boot.events)
    globalLogBeginner.beginLoggingTo([log], redirectStandardIO=False)
    from twisted.internet import reactor

    from lfsproxy.workers.worker import Worker

    return Worker(reactor, boot, log)


if __name__ == "__main__":
    sys.exit(main())
