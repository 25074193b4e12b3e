"""Ports that are bound, hosts that are reached, TLS, peers that have gone, and files that are read again."""
