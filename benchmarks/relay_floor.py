"""What a byte costs at least on this machine: read from a socket, hashed, and written to another one.

    python -m benchmarks.relay_floor [--mib 1024] [--rounds 3]

No proxy in Python can be cheaper than its system calls and its SHA-256. Prints CPU seconds per GB for each
size of a read, with SHA-256 and without; the workload download-1g of `make bench` has the proxy's own.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import socket
import statistics
import time

from benchmarks.null_ends import drop
from benchmarks.stack import MIB
from lfsproxy.devstack.ports import HOST


def give(connection: socket.socket, mib: int) -> None:
    """Send so many MiB from memory, without a copy into this process."""
    blob = os.memfd_create("blob")
    os.write(blob, os.urandom(MIB))
    for _ in range(mib):
        at = 0
        while at < MIB:
            at += os.sendfile(connection.fileno(), blob, at, MIB - at)


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection on the loopback interface."""
    with socket.create_server((HOST, 0)) as server:
        client = socket.create_connection(server.getsockname())
        return client, server.accept()[0]


def relay(mib: int, piece: int, hashed: bool) -> float:
    """CPU seconds of this process for each GB."""
    source, giver = pair()
    sink, taker = pair()
    others = [
        multiprocessing.Process(target=give, args=(giver, mib), daemon=True),
        multiprocessing.Process(target=drop, args=(taker, mib * MIB), daemon=True),
    ]
    for other in others:
        other.start()
    checksum, left, began = hashlib.sha256(), mib * MIB, time.process_time()
    while left:
        data = source.recv(piece)
        left -= len(data)
        if hashed:
            checksum.update(data)
        sink.sendall(data)
    spent = time.process_time() - began
    for other in others:
        other.join()
    for end in (source, giver, sink, taker):
        end.close()
    return spent / (mib * MIB / 1e9)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--mib", type=int, default=1024)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    for hashed in (False, True):
        for kib in (64, 256, 1024):
            costs = [relay(chosen.mib, kib * 1024, hashed) for _ in range(chosen.rounds)]
            name = "with SHA-256" if hashed else "unhashed"
            print(f"reads of {kib:4} KiB, {name}: {statistics.median(costs):.2f} CPU s/GB")


if __name__ == "__main__":
    main()
