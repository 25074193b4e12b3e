"""A real Kafka and a real S3 server on this machine, for the demo and the tests (extra ``demo``).

    kafka = KafkaServer()
    kafka.start()                 # downloads jars the first time, and is ready in seconds afterwards
    kafka.create_topic("t")
    kafka.bootstrap               # "127.0.0.1:41234"
    kafka.close()

Everything here blocks, raises DevstackError (one plain sentence) and knows nothing else of lfsproxy.
"""

from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.kafka import KafkaServer
from lfsproxy.devstack.s3 import S3Server

__all__ = ["DevstackError", "KafkaServer", "S3Server"]
