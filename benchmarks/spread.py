"""How connections are spread over two processes that accept at one port, by each way to share it.

    python -m benchmarks.spread [--rounds 20]

SO_REUSEPORT (the kernel chooses by a hash), one queue (whoever wakes first takes all that wait), and one
queue of which a process with more connections leaves a new one to the other, as workers do.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any

from lfsproxy.devstack.ports import HOST
from lfsproxy.workers.board import Board
from lfsproxy.workers.listening import SharedPort

WAYS = {"reuseport": "SO_REUSEPORT", "queue": "one queue", "fewest": "one queue, fewest first"}
COUNTS = (4, 200)
PAUSES = (0.01, 0.0)
"""Seconds between two connections: one by one, and all at once."""


def child(way: str, descriptor: int, index: int, folder: str) -> None:
    """Accept until standard input ends; then print how many."""
    from twisted.internet import reactor as global_reactor
    from twisted.internet.protocol import Protocol, ServerFactory
    from twisted.internet.stdio import StandardIO

    reactor: Any = global_reactor
    taken = 0

    class Accepted(Protocol):
        def connectionMade(self) -> None:
            nonlocal taken
            taken += 1

    class Input(Protocol):
        def connectionLost(self, reason: object = None) -> None:
            reactor.stop()

    factory: Any = ServerFactory.forProtocol(Accepted)
    factory.noisy = False
    if way == "fewest":
        make: Any = SharedPort._fromListeningDescriptor
        port = make(reactor, descriptor, socket.AF_INET, factory)
        port.cells = Board(folder, 2).port(0, index)
        port.startListening()
    else:
        reactor.adoptStreamPort(descriptor, socket.AF_INET, factory)
    StandardIO(Input())
    reactor.callWhenRunning(lambda: print("ready", flush=True))
    reactor.run()
    print(taken)


def listening(reuse: bool, port: int = 0) -> socket.socket:
    """A socket that listens."""
    made = socket.socket()
    if reuse:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((HOST, port))
    made.listen(1024)
    made.setblocking(False)
    return made


def play(way: str, count: int, pause: float) -> int:
    """How many of ``count`` connections the process had that had fewer."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        Board.create(folder, 2)
        reuse = way == "reuseport"
        first = stack.enter_context(listening(reuse))
        port = first.getsockname()[1]
        sockets = [first, stack.enter_context(listening(True, port)) if reuse else first]
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.spread", way, str(each.fileno()), str(index), folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[each.fileno()],
                text=True,
            )
            for index, each in enumerate(sockets)
        ]
        for each in children:
            assert each.stdout is not None
            each.stdout.readline()
        for _ in range(count):
            stack.enter_context(socket.create_connection((HOST, port)))
            time.sleep(pause)
        time.sleep(0.2)
        taken = [int(each.communicate()[0]) for each in children]
        assert sum(taken) == count, taken
        return min(taken)


def main() -> None:
    if len(sys.argv) == 5 and sys.argv[1] in WAYS:
        way, descriptor, index, folder = sys.argv[1:]
        child(way, int(descriptor), int(index), folder)
        return
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=20)
    rounds = options.parse_args().rounds
    for way, name in WAYS.items():
        for count in COUNTS:
            for pause in PAUSES:
                fewer = [play(way, count, pause) for _ in range(rounds)]
                how = "one by one" if pause else "at once"
                print(
                    f"{name}, {count} connections {how}: the one with fewer had {statistics.median(fewer):g} "
                    f"({min(fewer)} to {max(fewer)})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
