"""Produce requests that are looked into: read, their LFS records offloaded, forwarded, answered.

From the top: ``held`` and ``streamed`` read a request's body, ``work`` is what both do from its first byte to
its end. ``offload`` and ``streamed_batch`` find a batch's LFS records and upload them; ``rewriting`` writes
the batch anew. ``forwarding`` brings batches to the broker, ``verdicts`` says what its answers mean, and
``fates`` tells that to the blobs. ``connection`` is the protocol of what a request needs of the session that
it came in, ``shared`` has what all requests of the process share.
"""
