"""Tests of lfsproxy.kafka."""
