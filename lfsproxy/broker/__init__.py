"""The proxy's own Kafka client, event-driven in the reactor: publishes envelopes, reads records, asks the cluster."""
