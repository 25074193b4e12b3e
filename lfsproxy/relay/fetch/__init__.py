"""Fetch answers whose envelopes become the blobs themselves: planned while they are held, then streamed.

``asked`` reads the request, ``plan`` says what the answer will be, ``blobs`` gets what has to be known before
its first byte, ``answer`` holds the broker's answer and writes the client's. ``shared`` is what all of them
share.
"""
