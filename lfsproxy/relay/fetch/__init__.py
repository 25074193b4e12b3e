"""Fetch answers whose envelopes become the blobs themselves: planned while they are held, then streamed.

``asked`` reads the request, ``ids`` has the names of its topics, ``plan`` says what the answer will be,
``blobs`` gets what has to be known before its first byte, ``small`` small blobs whole, ``suspects``
remembers which turned out wrong, ``answer`` holds the broker's answer and lays out the client's, ``writing``
writes that. ``shared`` is what all of them share.
"""
