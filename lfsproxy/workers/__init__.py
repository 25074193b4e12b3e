"""Several processes on the same ports: a parent that starts, watches and replaces workers.

    parent ── binds every port, holds no connection ──┬── worker 0: the whole proxy, its share of the memory
       │       hands each worker a descriptor         ├── worker 1: the same
       └────── signals, readiness, restarts ──────────┘

The parent imports neither door nor backends: it stays small, and there is little in it that can fail.
"""
