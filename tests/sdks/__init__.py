"""Each client library's own tests, by its own command: see test_commands.py."""
