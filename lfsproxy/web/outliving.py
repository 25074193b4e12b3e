"""The answer to a request whose work outlives its client.

Bytes that came have to be stored and published, or removed again, though nobody listens any more. So the
work is not cancelled with its request: it is told, and carried through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lfsproxy.errors import LfsError
from lfsproxy.log.trail import follow
from lfsproxy.log.uploads import sent_by
from lfsproxy.logs import Logger
from lfsproxy.web.followed import begin_trail, end_trail
from lfsproxy.web.request import StreamingRequest

Done = TypeVar("Done")

_log = Logger()


def outliving(
    request: StreamingRequest,
    start: Callable[[], Deferred[Done]],
    render: Callable[[Done], bytes],
    done: str,
    stop: Callable[[LfsError], None] = lambda _: None,
) -> Deferred[bytes]:
    """Start the work of a request. The Deferred fires with the answer's body, or fails as the work does.

    Klein cancels the Deferred when the connection goes. Then ``stop`` is called with the reason, and may end
    the work with it. The log tells what came of the work; ``done`` are the words for a success.
    """
    trail = begin_trail(request)
    with sent_by(request.sender), follow(trail):
        running = start()
    request.track(running)
    gone: LfsError | None = None

    def leave(_: Deferred[bytes]) -> None:
        nonlocal gone
        gone = request.why_cut
        stop(gone)

    answer: Deferred[bytes] = Deferred(leave)

    def ended(result: Done | Failure) -> None:
        if gone is not None:
            outcome = done
            if isinstance(result, Failure):
                outcome = "nothing was published" if result.value is gone else result.getErrorMessage()
            _log.info(
                "an upload has no answer, since {why}: {outcome}",
                why=gone,
                outcome=outcome,
                peer=request.sender.peer,
            )
            end_trail(trail, None, str(gone))
        elif isinstance(result, Failure):
            error = result.value
            status = error.http_status if isinstance(error, LfsError) else LfsError.http_status
            end_trail(trail, status, result.getErrorMessage())
            answer.errback(result)
        else:
            body = render(result)
            end_trail(trail, request.code)
            answer.callback(body)

    running.addBoth(ended)
    return answer
