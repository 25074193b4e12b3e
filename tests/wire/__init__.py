"""Tests of the wire. Hypothesis runs without a deadline here: a busy machine is not a failure."""

from hypothesis import settings

settings.register_profile("lfsproxy", deadline=None, database=None, print_blob=True)
settings.load_profile("lfsproxy")
