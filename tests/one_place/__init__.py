"""What takes one place in Python: an algorithm and a setting are added to a copy of the package, and are seen
everywhere. ``algorithm`` and ``setting`` are the tests that run against such a copy."""
