"""The relay, end to end in memory: real streams and sessions between scripted clients and brokers."""
