"""``lfsproxy fsck``: which envelopes of the topics lead to no blob, or to another one than they say.

From the ground up: ``found`` is what a look finds and counts, ``blobs`` asks the store, ``envelopes`` is what
batches hold, ``positions`` is how far the look has come, and ``walk`` goes through the partitions.
"""
