"""What no envelope names: how it is found and removed (``lfsproxy gc``).

``book`` remembers what was seen, on disk; ``names`` finds the names of blobs in records; ``listing`` looks
at the bucket and ``topics`` at Kafka; ``search`` puts their steps into the order that makes it safe;
``removal`` removes; ``report`` has the numbers.
"""
