"""The proxy beside other ways to do the same, in one run: ``python -m benchmarks.run``, or ``make bench``.

``workloads`` says what is done, ``targets`` through what, ``goals`` what should come out. ``session`` has
each target do each workload in turn, ``client`` in a process of its own; ``results`` are what is kept of it,
and ``tables`` and ``bars`` show that.
"""
