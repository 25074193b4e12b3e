"""What an S3 server can be told to do instead of answering as it should."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred


@attrs.frozen
class Refuse:
    """Answer with an error. ``early``: as soon as the headers are read, then close without reading on, or
    (``stay``) keep the connection and read nothing. ``worked``: although it was done."""

    status: int
    code: str = ""
    early: bool = False
    stay: bool = False
    worked: bool = False


@attrs.frozen
class Reset:
    """Break the connection when ``after`` bytes of the body came. ``after`` None: once it is done."""

    after: int | None = 0


@attrs.frozen
class Silence:
    """Read ``after`` bytes of the body and no more, and never answer. None: read all, do it, say nothing."""

    after: int | None = 0


@attrs.frozen
class OkButError:
    """Answer 200 with an error in the body, and do nothing."""

    code: str


@attrs.frozen
class Held:
    """Do it and answer when ``until`` fires."""

    until: Deferred[None]


@attrs.frozen
class CutBody:
    """Answer, but close after ``after`` bytes of the answer's body."""

    after: int


Fault = Refuse | Reset | Silence | OkButError | Held | CutBody
