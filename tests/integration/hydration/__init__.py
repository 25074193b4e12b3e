"""Consumers without an SDK read random logs through the proxy, and what they see is held against a model.

``plans`` thinks of a log, ``logs`` writes it to a real Kafka and S3, ``model`` says what a consumer sees of
it, ``readers`` are real clients as small programs, ``fetches`` is a client of raw frames.
"""
