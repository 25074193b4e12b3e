"""The Kafka door: Twisted protocols that join clients to brokers and offload LFS records on the way."""

from lfsproxy.relay.door import RelayService

__all__ = ["RelayService"]
