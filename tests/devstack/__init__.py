"""Tests of the development servers that need neither a network nor a server."""
