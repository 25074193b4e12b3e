"""Sends one LFS record by librdkafka, in a process that a test can kill.

python -m tests.integration.clients.send BOOTSTRAP TOPIC BYTES
"""

from __future__ import annotations

import sys

from tests.integration.clients.python import librdkafka
from tests.integration.clients.records import Mode, lfs

if __name__ == "__main__":
    bootstrap, topic, size = sys.argv[1:]
    print(librdkafka(bootstrap, topic, [lfs(bytes(int(size)))], Mode()))
