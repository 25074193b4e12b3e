"""What the upkeep commands do, over the interfaces: they know neither S3 nor Kafka, nor who asked."""
