"""The proxy's own Kafka client, in the reactor: publishes envelopes, reads records, asks the cluster."""
