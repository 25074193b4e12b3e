"""Changed bytes of real clients and brokers against every reader of the wire.

Each target (``targets``) takes any bytes and may raise nothing but LfsErrors; ``mutations`` makes the bytes,
always the same ones for a seed; ``test_readers`` runs a bounded number, and everything in the corpus
(tests/vectors/fuzz: one input per outcome that was ever seen). To search on, and add to the corpus:

    python -m tests.fuzz.search --seconds 600 --seed 7 [target ...]
"""
