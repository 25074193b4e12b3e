"""Tests of lfsproxy.broker."""
