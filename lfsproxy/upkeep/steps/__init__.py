"""The steps of lfsproxy check: whether Kafka, the bucket, files and ports work with the actual settings."""
