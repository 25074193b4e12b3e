"""The names of twisted.web.http that channel.py and request.py rely on, some of them private.

A Twisted that renames or rewires one of them fails here first, and says what to look at.
"""

from __future__ import annotations

import inspect

from twisted.internet.protocol import Protocol
from twisted.protocols.basic import LineReceiver
from twisted.protocols.policies import TimeoutMixin
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http, server

from tests.web.doubles import Door, request


def names_in(function: object) -> set[str]:
    """Every global, attribute and method name that a function's code mentions."""
    code = inspect.unwrap(function).__code__  # type: ignore[arg-type]
    return {*code.co_names, *code.co_varnames}


class PinnedNameTests(SynchronousTestCase):
    def test_the_channel_is_built_as_ours_expects(self) -> None:
        self.assertEqual(http.HTTPChannel.__mro__[1:5], (LineReceiver, Protocol, *LineReceiver.__mro__[2:4]))
        self.assertTrue(issubclass(http.HTTPChannel, TimeoutMixin))

    def test_methods_that_are_overridden_exist(self) -> None:
        for name in (
            "allHeadersReceived",
            "dataReceived",
            "lineReceived",
            "rawDataReceived",
            "lineLengthExceeded",
            "headerReceived",
            "requestDone",
            "resumeProducing",
            "timeoutConnection",
            "_respondToBadRequestAndDisconnect",
        ):
            self.assertTrue(callable(getattr(http.HTTPChannel, name)), name)
        for name in ("gotLength", "handleContentChunk", "requestReceived", "write", "finish"):
            self.assertTrue(callable(getattr(server.Request, name)), name)

    def test_a_request_is_dispatched_between_its_headers_and_its_content(self) -> None:
        received = names_in(http.HTTPChannel.lineReceived)
        self.assertLessEqual({"allHeadersReceived", "allContentReceived", "setRawMode", "length"}, received)
        self.assertIn("requestReceived", names_in(http.HTTPChannel.allContentReceived))
        self.assertIn("_savedTimeOut", names_in(http.HTTPChannel.allContentReceived))
        self.assertIn("_savedTimeOut", names_in(http.HTTPChannel.requestDone))

    def test_all_headers_received_does_no_more_than_ours(self) -> None:
        # Ours replaces it: cookies are not parsed, 100 Continue is sent by the body's first reader.
        self.assertEqual(
            names_in(http.HTTPChannel.allHeadersReceived),
            {
                "self", "req", "expectContinue", "requests", "parseCookies", "checkPersistence", "_version",
                "persistent", "gotLength", "length", "requestHeaders", "getRawHeaders", "lower",
                "_send100Continue",
            },
        )  # fmt: skip

    def test_data_received_does_no_more_than_ours(self) -> None:
        # Ours keeps the idle timer from being reset by every byte.
        self.assertEqual(
            names_in(http.HTTPChannel.dataReceived),
            {"self", "data", "resetTimeout", "basic", "LineReceiver", "dataReceived"},
        )

    def test_malformed_chunks_are_reported_where_ours_listens(self) -> None:
        self.assertLessEqual(
            {"_transferDecoder", "_MalformedChunkedDataError", "_respondToBadRequestAndDisconnect"},
            names_in(http.HTTPChannel.rawDataReceived),
        )

    def test_attributes_of_a_connection(self) -> None:
        channel = Door().client().channel
        for name in (
            "_networkProducer",
            "_waitingForTransport",
            "_abortingCall",
            "abortTimeout",
            "persistent",
        ):
            self.assertTrue(hasattr(channel, name), name)

    def test_attributes_of_a_request_line(self) -> None:
        door = Door()
        client = door.client()
        client.send(request(body=b"hello")[:-1])
        self.assertEqual(client.channel._command, b"POST")
        self.assertEqual(client.channel._path, b"/v1/topics/t/records")
        self.assertEqual(client.channel._version, b"HTTP/1.1")
        self.assertEqual(client.channel.length, 5)
        self.assertFalse(client.channel.current._disconnected)
