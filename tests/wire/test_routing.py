"""What becomes of each request, as a table: API, version, size, sign-in."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError, NotSignedIn
from lfsproxy.wire.apis import KafkaApi as Api
from lfsproxy.wire.frames import RequestStart
from lfsproxy.wire.routing import MOST_COLLECTED, MOST_FETCHED, Look, Route, Way, name_of, route
from lfsproxy.wire.versions import APIS, How

RELAYED = Route(Way.RELAYED)
MIB = 1024 * 1024
OFFERED = [api for api in APIS.values() if api.how is not How.WITHHELD]


def start(api_key: int, version: int, size: int = 100) -> RequestStart:
    return RequestStart(size, api_key, version, 1, "a-client", b"")


class RouteTests(SynchronousTestCase):
    def test_requests_and_what_becomes_of_them(self) -> None:
        no_sign_in, done, not_done = None, True, False
        table = [
            (Api.FETCH, 12, 100, no_sign_in, RELAYED),
            (Api.FETCH, 12, 2000 * MIB, not_done, RELAYED),
            (Api.METADATA, 0, 100, no_sign_in, Route(Way.RELAYED, Look.FRONT)),
            (Api.METADATA, 13, 70 * MIB, not_done, Route(Way.RELAYED, Look.FRONT)),
            (Api.FIND_COORDINATOR, 4, 100, no_sign_in, Route(Way.RELAYED, Look.ADDRESSES)),
            (Api.SHARE_FETCH, 1, 100, no_sign_in, Route(Way.RELAYED, Look.END)),
            (Api.SHARE_ACKNOWLEDGE, 2, 100, done, Route(Way.RELAYED, Look.END)),
            (Api.DESCRIBE_CLUSTER, 1, 100, no_sign_in, Route(Way.RELAYED, Look.ADDRESSES)),
            (Api.API_VERSIONS, 0, 10, no_sign_in, Route(Way.COLLECTED, Look.VERSIONS)),
            (Api.API_VERSIONS, 4, MOST_COLLECTED, not_done, Route(Way.COLLECTED, Look.VERSIONS)),
            (Api.API_VERSIONS, 6, 100, no_sign_in, Route(Way.SKIPPED)),
            (Api.API_VERSIONS, 99, 70 * MIB, not_done, Route(Way.SKIPPED)),
            (Api.SASL_HANDSHAKE, 1, 30, not_done, Route(Way.COLLECTED)),
            (Api.SASL_HANDSHAKE, 1, 30, no_sign_in, Route(Way.COLLECTED)),
            (Api.SASL_AUTHENTICATE, 2, 100, not_done, Route(Way.RELAYED, Look.SIGN_IN)),
            (Api.SASL_AUTHENTICATE, 2, 100, done, Route(Way.RELAYED, Look.SIGN_IN)),
            (Api.SASL_AUTHENTICATE, 0, 100, no_sign_in, RELAYED),
            (Api.PRODUCE, 0, 100, no_sign_in, Route(Way.PRODUCED, Look.VERDICTS)),
            (Api.PRODUCE, 12, 2000 * MIB, done, Route(Way.PRODUCED, Look.VERDICTS)),
        ]
        for key, version, size, signed_in, expected in table:
            found = route(start(key, version, size), signed_in)
            self.assertEqual(
                found, expected, f"{name_of(key)} {version}, {size} bytes, signed in {signed_in}"
            )

    def test_the_records_of_who_gets_blobs_are_looked_into(self) -> None:
        for version, signed_in, gets_blobs, expected in (
            (3, None, True, RELAYED),
            (4, None, True, Route(Way.FETCHED)),
            (15, False, True, Route(Way.FETCHED)),
            (15, None, False, RELAYED),
        ):
            found = route(start(Api.FETCH, version, MOST_FETCHED), signed_in, gets_blobs=gets_blobs)
            self.assertEqual(found, expected, (version, signed_in, gets_blobs))
        with self.assertRaisesRegex(FramingError, f"a request of {MOST_FETCHED + 1} bytes for Fetch"):
            route(start(Api.FETCH, 15, MOST_FETCHED + 1), None, gets_blobs=True)
        self.assertEqual(route(start(Api.FETCH, 15, MOST_FETCHED + 1), None), RELAYED)

    def test_what_a_connection_is_closed_for(self) -> None:
        hides = (Api.SASL_HANDSHAKE, Api.SASL_AUTHENTICATE)
        table = [
            (Api.PRODUCE, 13, 100, None, (), FramingError, "Produce version 13 was not offered"),
            (Api.PRODUCE, -1, 100, None, (), FramingError, "Produce version -1 was not offered"),
            (Api.FETCH, 16, 100, None, (), FramingError, "Fetch version 16 was not offered"),
            (
                Api.SASL_HANDSHAKE,
                0,
                100,
                False,
                (),
                FramingError,
                "SaslHandshake version 0 was not offered",
            ),
            (Api.SHARE_FETCH, 0, 100, None, (), FramingError, "ShareFetch version 0 was not offered"),
            (Api.READ_SHARE_GROUP_STATE, 0, 100, None, (), FramingError, "API 84 version 0 was not offered"),
            (999, 0, 100, None, (), FramingError, "API 999 version 0 was not offered"),
            (Api.SASL_HANDSHAKE, 1, 100, None, hides, FramingError, "the proxy signs in by itself"),
            (Api.SASL_AUTHENTICATE, 1, 100, None, hides, FramingError, "the proxy signs in by itself"),
            (Api.PRODUCE, 9, 100, False, (), NotSignedIn, "before the broker has taken its sign-in"),
            (
                Api.API_VERSIONS,
                3,
                MOST_COLLECTED + 1,
                None,
                (),
                FramingError,
                "65537 bytes for ApiVersions",
            ),
            (
                Api.SASL_HANDSHAKE,
                1,
                MOST_COLLECTED + 1,
                None,
                (),
                FramingError,
                "65537 bytes for SaslHandshake",
            ),
        ]
        for key, version, size, signed_in, hidden, kind, text in table:
            with self.assertRaisesRegex(kind, text):
                route(start(key, version, size), signed_in, hidden)

    def test_every_version_that_is_offered_has_a_route_and_those_around_it_have_none(self) -> None:
        for api in OFFERED:
            for version in range(api.min_version, api.max_version + 1):
                route(start(api.key, version), True)
            around = (
                {api.min_version - 1}
                if api.how is How.VERSIONS
                else {api.min_version - 1, api.max_version + 1}
            )
            for version in around:
                with self.assertRaises(FramingError):
                    route(start(api.key, version), True)

    def test_every_answer_with_addresses_is_looked_into(self) -> None:
        named = {api.key for api in OFFERED if api.how in (How.ADDRESSES, How.BLOTTED)}
        looked = {
            api.key for api in OFFERED if route(start(api.key, api.max_version), None).look in _ADDRESSES
        }
        self.assertEqual(looked, named)

    def test_an_api_that_is_not_known_has_one_name_in_the_metrics(self) -> None:
        self.assertEqual(
            [name_of(key) for key in (Api.PRODUCE, Api.READ_SHARE_GROUP_STATE, 999)],
            ["Produce", "unknown", "unknown"],
        )


_ADDRESSES = (Look.FRONT, Look.ADDRESSES, Look.END)
