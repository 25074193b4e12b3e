"""Range, If-Range, If-Match and If-None-Match, row by row as RFC 9110 has them (sections 13.1 and 14)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from lfsproxy.web.ranges import RangeNotSatisfiable, asked_range, is_another, is_unchanged

TAG = "aa"
SIZE = 100
WHOLE = None
NOTHING = "416"
HUGE = "9" * 5000


class Asked:
    """A request as far as its header fields go."""

    def __init__(self, **fields: str | list[str]) -> None:
        self.requestHeaders = Headers()
        for name, value in fields.items():
            lines = [value] if isinstance(value, str) else value
            self.requestHeaders.setRawHeaders(
                name.replace("_", "-"), [line.encode("latin-1") for line in lines]
            )


RANGES: list[tuple[str | list[str], object]] = [
    ("bytes=0-0", (0, 1)),
    ("bytes=0-99", (0, 100)),
    ("bytes=0-", (0, 100)),
    ("bytes=99-", (99, 1)),
    ("bytes=50-1000", (50, 50)),
    (f"bytes=50-{HUGE}", (50, 50)),
    ("bytes=007-0009", (7, 3)),
    ("bytes=-1", (99, 1)),
    ("bytes=-100", (0, 100)),
    ("bytes=-101", (0, 100)),
    (f"bytes=-{HUGE}", (0, 100)),
    # Unit names are case-insensitive; a list may have empty elements.
    ("Bytes=0-1", (0, 2)),
    ("bytes=0-1,", (0, 2)),
    ("bytes=,0-1", (0, 2)),
    ("bytes=0-1 , ,", (0, 2)),
    # Nothing of these is there.
    ("bytes=-0", NOTHING),
    ("bytes=-000", NOTHING),
    ("bytes=100-", NOTHING),
    ("bytes=100-200", NOTHING),
    (f"bytes={HUGE}-", NOTHING),
    # Several, and what is no range of bytes, may be answered with the whole.
    ("bytes=0-1,5-6", WHOLE),
    ("bytes=-0,0-1", WHOLE),
    ("bytes=100-,200-", WHOLE),
    (["bytes=0-1", "bytes=5-6"], WHOLE),
    ("bytes=5-2", WHOLE),
    ("bytes=", WHOLE),
    ("bytes", WHOLE),
    ("", WHOLE),
    ("bytes=,", WHOLE),
    ("bytes=-", WHOLE),
    ("bytes=x-1", WHOLE),
    ("bytes=1", WHOLE),
    ("bytes=--1", WHOLE),
    ("bytes=1-2-3", WHOLE),
    ("bytes=+1-2", WHOLE),
    ("bytes=0x1-2", WHOLE),
    ("bytes=1_0-20", WHOLE),
    ("bytes=\xb2-3", WHOLE),
    ("bytes=1.0-2", WHOLE),
    ("bytes = 0-1", WHOLE),
    ("bytes= 0-1", WHOLE),
    ("bytes=0 -1", WHOLE),
    ("bytes=0- 1", WHOLE),
    ("bytes=- 1", WHOLE),
    ("bytes=0-1;x", WHOLE),
    ("lines=0-1", WHOLE),
    ("seconds=-5", WHOLE),
]

IF_RANGES: list[tuple[str | list[str], bool]] = [
    ('"aa"', True),
    ('"bb"', False),
    ('W/"aa"', False),
    ('w/"aa"', False),
    ("aa", False),
    ('"aa', False),
    ("'aa'", False),
    ('"AA"', False),
    ('"aa", "bb"', False),
    (['"aa"', '"aa"'], False),
    ("*", False),
    ("", False),
    ('" aa"', False),
    ("Thu, 01 Jan 2026 00:00:00 GMT", False),
]

IF_NONE_MATCHES: list[tuple[str | list[str], bool]] = [
    ('"aa"', True),
    ('W/"aa"', True),
    ("*", True),
    ('"bb", "aa"', True),
    ('"bb","aa"', True),
    ('"bb"\t,\tW/"aa"', True),
    (',"aa",,', True),
    (['"bb"', '"aa"'], True),
    ('"b,b", "aa"', True),
    ('"bb"', False),
    ('"aaa"', False),
    ('"AA"', False),
    ('"aa,bb"', False),
    ('"*"', False),
    ("", False),
    # What is no list of entity tags says nothing.
    ("aa", False),
    ('w/"aa"', False),
    ('W/ "aa"', False),
    ('"aa', False),
    ('"aa" "bb"', False),
    ('"aa", *', False),
    ('*, "aa"', False),
    ('"bb" x, "aa"', False),
    # Each gap could be read in several ways, by a pattern that is not exact.
    ('"aa"' + "  ,  " * 5000 + "x", False),
]

IF_MATCHES: list[tuple[str | list[str], bool]] = [
    ('"aa"', True),
    ("*", True),
    ('"bb", "aa"', True),
    ('W/"aa"', False),
    ('"bb"', False),
    ("aa", False),
    ("", False),
]


class RangeTests(SynchronousTestCase):
    def test_ranges(self) -> None:
        for text, expected in RANGES:
            try:
                found: object = asked_range(Asked(Range=text), TAG, SIZE)
            except RangeNotSatisfiable as error:
                self.assertEqual(error.size, SIZE)
                found = NOTHING
            self.assertEqual(found, expected, text)

    def test_ranges_of_nothing(self) -> None:
        # The last bytes of an empty blob are all of it, which no Content-Range can say.
        self.assertIsNone(asked_range(Asked(Range="bytes=-5"), TAG, 0))
        for text in ("bytes=0-", "bytes=0-0", "bytes=-0"):
            self.assertRaises(RangeNotSatisfiable, asked_range, Asked(Range=text), TAG, 0)

    def test_no_range(self) -> None:
        self.assertIsNone(asked_range(Asked(), TAG, SIZE))
        self.assertIsNone(asked_range(Asked(If_Range='"aa"'), TAG, SIZE))

    def test_if_range(self) -> None:
        for text, same in IF_RANGES:
            found = asked_range(Asked(Range="bytes=0-1", If_Range=text), TAG, SIZE)
            self.assertEqual(found, (0, 2) if same else None, text)
        # Of another version no range is looked at, whether it is there or not.
        self.assertIsNone(asked_range(Asked(Range="bytes=100-", If_Range='"bb"'), TAG, SIZE))

    def test_if_none_match(self) -> None:
        for text, unchanged in IF_NONE_MATCHES:
            self.assertEqual(is_unchanged(Asked(If_None_Match=text), TAG), unchanged, text)
        self.assertFalse(is_unchanged(Asked(), TAG))

    def test_if_match(self) -> None:
        for text, same in IF_MATCHES:
            self.assertEqual(is_another(Asked(If_Match=text), TAG), not same, text)
        self.assertFalse(is_another(Asked(), TAG))
