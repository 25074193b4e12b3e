"""Kafka consumers as small programs. Each reads a job from its standard input and writes a line per record.

A job is a JSON object::

    {"bootstrap": "127.0.0.1:9092", "client_id": "reader", "committed": true,
     "max_bytes": 52428800, "partition_max_bytes": 1048576,
     "parts": [{"topic": "t", "partition": 0, "start": 0, "until": 41}], "rack": ""}

``start`` is the first offset to ask for, and ``until`` the offset of the last record that there is to see:
the program ends when it has seen that of each partition. ``rack`` is where the consumer says it is; kafka-go
does not say it. A line is a JSON object too, keys and headers'
values in base64, a null value of length -1::

    {"topic": "t", "partition": 0, "offset": 7, "key": null, "timestamp": 1700000000000, "timestamp_type": 0,
     "headers": [["trace", "MQ=="]], "length": 3, "sha256": "ba78.."}
"""
