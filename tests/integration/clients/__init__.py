"""Real Kafka clients, each behind the same few functions: blocking, to be called ``in_thread``."""
