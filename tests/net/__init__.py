"""Tests of lfsproxy.net."""
