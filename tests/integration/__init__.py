"""Tests against a real Kafka and a real S3 server; what they share is in ``stack``."""
