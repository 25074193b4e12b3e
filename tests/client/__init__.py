"""Tests of lfsproxy.client."""
