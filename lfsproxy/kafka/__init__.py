"""Connections to Kafka brokers, for both doors: frames, TLS, sign-in, and which broker is asked first."""
