"""LFS Proxy: large records go to S3, small envelopes go to Kafka."""
