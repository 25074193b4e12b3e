"""What a small request costs at least on this machine: read from a socket, written to another one, and its
answer the other way, one request after the other.

    python -m benchmarks.request_floor [--count 5000] [--rounds 5]

Prints CPU microseconds of the relay for each request: of a loop over epoll with nothing else, of Twisted's
reactor with a protocol that writes through, and of the proxy in front of a broker that keeps nothing. All of
them in each round, in turn.
"""

from __future__ import annotations

import argparse
import multiprocessing
import select
import socket
import statistics
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.null_ends import exactly
from benchmarks.null_stage import null_ends, stage
from benchmarks.relay_floor import pair
from benchmarks.variants import ONE, requests

ANSWER = bytes(67)
"""As long as the null broker's."""


def ask(connection: socket.socket, count: int) -> None:
    """The client: one request after the other."""
    for _ in range(count):
        connection.sendall(ONE)
        exactly(connection, len(ANSWER))


def answer(connection: socket.socket) -> None:
    """The broker, until its connection ends."""
    with suppress(ConnectionError):
        while True:
            exactly(connection, len(ONE))
            connection.sendall(ANSWER)


def loop(client: socket.socket, broker: socket.socket) -> None:
    """A relay in plain Python, until the client ends."""
    poll = select.epoll()
    other = {client.fileno(): (client, broker), broker.fileno(): (broker, client)}
    for number in other:
        poll.register(number, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            source, sink = other[number]
            data = source.recv(65536)
            if not data:
                return
            sink.send(data)


def twisted(client: socket.socket, broker: socket.socket) -> None:
    """The smallest relay over Twisted's reactor, until the client ends."""
    from twisted.internet import reactor as found
    from twisted.internet.protocol import Factory, Protocol

    from lfsproxy.net.writing import write_through

    # Its stubs know no attribute of it.
    reactor: Any = found
    sides: list[Side] = []

    class Side(Protocol):
        def connectionMade(self) -> None:
            sides.append(self)

        def dataReceived(self, data: bytes) -> None:
            other = sides[0] if sides[1] is self else sides[1]
            write_through(other.transport, [data])

        def connectionLost(self, reason: object = None) -> None:
            if reactor.running:
                reactor.stop()

    for each in (client, broker):
        each.setblocking(False)
        reactor.adoptStreamConnection(each.fileno(), socket.AF_INET, Factory.forProtocol(Side))
    reactor.run()


def cpu() -> float:
    """CPU seconds of this process' main thread so far, as null_stage tells those of the proxy."""
    return int(Path("/proc/self/schedstat").read_text().split()[0]) / 1e9


def used(relay: Callable[[socket.socket, socket.socket], None], count: int) -> float:
    """CPU seconds of a relay in a process of its own for so many requests."""
    told, tell = multiprocessing.Pipe(duplex=False)
    near, client = pair()
    broker, far = pair()

    def work() -> None:
        began = cpu()
        relay(client, broker)
        tell.send(cpu() - began)

    processes = [
        multiprocessing.Process(target=work, daemon=True),
        multiprocessing.Process(target=answer, args=(far,), daemon=True),
    ]
    for each in processes:
        each.start()
    ask(near, count)
    # The other processes have it too, so that a close would not end it.
    near.shutdown(socket.SHUT_RDWR)
    spent = float(told.recv())
    for end in (near, client, broker, far):
        end.close()
    for each in processes:
        each.terminate()
        each.join()
    return spent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--count", type=int, default=5000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    count = chosen.count
    with null_ends() as ends, stage(ends) as proxy:
        ways: dict[str, Callable[[], float]] = {
            "a loop over epoll": partial(used, loop, count),
            "Twisted's reactor": partial(used, twisted, count),
            "the proxy": lambda: proxy.use(lambda: requests(count, 1, ONE, proxy)).cpu,
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(chosen.rounds):
            for name, way in ways.items():
                found[name].append(1e6 * way() / count)
    for name, costs in found.items():
        print(f"{name}: {statistics.median(costs):.0f} us a request, the least {min(costs):.0f}")


if __name__ == "__main__":
    main()
