"""Makes ``twistd lfsproxy`` known. This folder must have no ``__init__.py``: it is part of Twisted's."""

from twisted.application.service import ServiceMaker

lfsproxy = ServiceMaker(
    "LFS Proxy",
    "lfsproxy.tap",
    "Claim-check proxy for Kafka: large records go to S3.",
    "lfsproxy",
)
