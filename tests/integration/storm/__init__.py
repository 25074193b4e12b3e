"""Clients of every door while replicas of the proxy and the S3 server are killed, and what came of it.

``notes`` is what clients were told, ``victims`` kills, ``producers``, ``posts`` and ``resuming`` are the
clients, ``inspection`` compares the topics and the bucket with the notes, ``run`` has it all happen.
"""
