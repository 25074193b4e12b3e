"""Tests of lfsproxy.upkeep."""
