"""Produce requests that are looked into: read, their LFS records offloaded, forwarded, answered."""
