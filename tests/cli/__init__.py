"""Tests of lfsproxy.cli."""
