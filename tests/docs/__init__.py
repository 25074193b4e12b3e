"""What the pages say is what the repository has: see test_examples.py."""
