"""The life of a session as a state machine without I/O: a state and an event give the next state and actions.

::

    CONNECTING -- connected --> OPEN -- reading ended --> CLIENT_GONE -- settled --> CLOSING -- broker over
        |                        | drain                       ^                                     |
        |-- drain ----------> DRAINING -- all answered --------+                                     v
        +-- not connected ---------------------------------------------------------------------->  OVER

The broker's loss and a stop of the process lead to CLOSING from every state before it. The actions are what
is done at once; what takes time (waiting for answers, seeing a connection off) is in
``lfsproxy.relay.session``, which tells an event when it has come to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class State(Enum):
    """Where a session is in its life."""

    CONNECTING = auto()
    """The broker is being connected to. What the client sends waits."""
    OPEN = auto()
    """Requests are read, forwarded and answered. It lasts until the reading ends: a client that left ends it
    too, except in the middle of a request that is forwarded without its client (acks=0)."""
    DRAINING = auto()
    """The process stops, or the connection is old: no request begins. Those that have begun are read to their
    end, and answered."""
    CLIENT_GONE = auto()
    """The client is gone, or has its answers. No request is read; what was forwarded may still be answered,
    which decides about blobs, and requests without an answer (acks=0) are still forwarded."""
    CLOSING = auto()
    """Nothing is waited for but the end of the broker's connection, and of what was being read."""
    OVER = auto()
    """The broker's connection is closed. The client's may still take what was written to it."""


class Event(Enum):
    """What happens to a session."""

    CONNECTED = auto()
    """The broker's connection is there, signed in where the proxy does that."""
    NOT_CONNECTED = auto()
    """There will be none."""
    DRAIN = auto()
    """The process stops, or the connection is old; what was begun is given its time."""
    GIVE_UP = auto()
    """The process stops now."""
    CLIENT_LOST = auto()
    """The client's connection is closed."""
    READING_ENDED = auto()
    """No request is read any more, for whatever reason."""
    ALL_ANSWERED = auto()
    """After the reading: the client has every answer, or is gone."""
    SETTLED = auto()
    """After the reading: nothing is open any more whose answer decides about blobs, or it took too long."""
    BROKER_LOST = auto()
    """No answer comes any more."""
    BROKER_OVER = auto()
    """The broker's connection is closed, and what came over it was taken."""


class Action(Enum):
    """What a session has to do at once."""

    STOP_CONNECTING = auto()
    """Connect to no broker any more."""
    STOP_BETWEEN_REQUESTS = auto()
    """End the reading if it waits for a request to begin."""
    STOP_FOR_CLIENT = auto()
    """End the reading, unless what is read goes on without its client (acks=0)."""
    STOP_READING = auto()
    """End the reading."""
    CANCEL_FOR_CLIENT = auto()
    """Give up the requests that are not forwarded yet, except those that go on without their client."""
    ABANDON = auto()
    """Forward nothing more. What was not forwarded is given up, what was has an unknown outcome."""
    FINISH_CLIENT = auto()
    """End the client's connection behind what was written to it."""
    ABORT = auto()
    """Close both connections at once."""


Step = tuple[State, tuple[Action, ...]]

_END_NOW: Final = (Action.STOP_CONNECTING, Action.ABANDON, Action.ABORT)
_BROKER_LOST: Final[Step] = (
    State.CLOSING,
    (Action.STOP_READING, Action.CANCEL_FOR_CLIENT, Action.FINISH_CLIENT),
)


def _stay(state: State) -> Step:
    """Of what has no meaning in a state, or none any more."""
    return state, ()


TABLE: Final[Mapping[State, Mapping[Event, Step]]] = {
    State.CONNECTING: {
        Event.CONNECTED: (State.OPEN, ()),
        Event.NOT_CONNECTED: (State.OVER, ()),
        Event.DRAIN: (State.DRAINING, ()),
        Event.GIVE_UP: (State.CLOSING, _END_NOW),
        Event.CLIENT_LOST: (State.CONNECTING, (Action.STOP_CONNECTING,)),
        Event.READING_ENDED: _stay(State.CONNECTING),
        Event.ALL_ANSWERED: _stay(State.CONNECTING),
        Event.SETTLED: _stay(State.CONNECTING),
        Event.BROKER_LOST: _stay(State.CONNECTING),
        Event.BROKER_OVER: _stay(State.CONNECTING),
    },
    State.OPEN: {
        Event.CONNECTED: _stay(State.OPEN),
        Event.NOT_CONNECTED: _stay(State.OPEN),
        Event.DRAIN: (State.DRAINING, (Action.STOP_BETWEEN_REQUESTS,)),
        Event.GIVE_UP: (State.CLOSING, _END_NOW),
        Event.CLIENT_LOST: (State.OPEN, (Action.STOP_FOR_CLIENT,)),
        Event.READING_ENDED: (State.CLIENT_GONE, (Action.CANCEL_FOR_CLIENT,)),
        Event.ALL_ANSWERED: _stay(State.OPEN),
        Event.SETTLED: _stay(State.OPEN),
        Event.BROKER_LOST: _BROKER_LOST,
        Event.BROKER_OVER: _stay(State.OPEN),
    },
    State.DRAINING: {
        Event.CONNECTED: _stay(State.DRAINING),
        Event.NOT_CONNECTED: (State.OVER, ()),
        Event.DRAIN: _stay(State.DRAINING),
        Event.GIVE_UP: (State.CLOSING, _END_NOW),
        Event.CLIENT_LOST: (State.DRAINING, (Action.STOP_CONNECTING, Action.STOP_FOR_CLIENT)),
        Event.READING_ENDED: _stay(State.DRAINING),
        Event.ALL_ANSWERED: (State.CLIENT_GONE, (Action.CANCEL_FOR_CLIENT, Action.FINISH_CLIENT)),
        Event.SETTLED: _stay(State.DRAINING),
        Event.BROKER_LOST: _BROKER_LOST,
        Event.BROKER_OVER: _stay(State.DRAINING),
    },
    State.CLIENT_GONE: {
        Event.CONNECTED: _stay(State.CLIENT_GONE),
        Event.NOT_CONNECTED: _stay(State.CLIENT_GONE),
        Event.DRAIN: _stay(State.CLIENT_GONE),
        Event.GIVE_UP: (State.CLOSING, _END_NOW),
        Event.CLIENT_LOST: _stay(State.CLIENT_GONE),
        Event.READING_ENDED: _stay(State.CLIENT_GONE),
        Event.ALL_ANSWERED: _stay(State.CLIENT_GONE),
        Event.SETTLED: (State.CLOSING, ()),
        Event.BROKER_LOST: _BROKER_LOST,
        Event.BROKER_OVER: _stay(State.CLIENT_GONE),
    },
    State.CLOSING: {
        # The connecting was given up while the connection came about.
        Event.CONNECTED: (State.CLOSING, (Action.ABORT,)),
        Event.NOT_CONNECTED: (State.OVER, ()),
        Event.DRAIN: _stay(State.CLOSING),
        Event.GIVE_UP: (State.CLOSING, _END_NOW),
        Event.CLIENT_LOST: (State.CLOSING, (Action.STOP_FOR_CLIENT,)),
        Event.READING_ENDED: (State.CLOSING, (Action.CANCEL_FOR_CLIENT,)),
        Event.ALL_ANSWERED: _stay(State.CLOSING),
        Event.SETTLED: _stay(State.CLOSING),
        Event.BROKER_LOST: _BROKER_LOST,
        Event.BROKER_OVER: (State.OVER, (Action.ABANDON,)),
    },
    State.OVER: {
        **{event: _stay(State.OVER) for event in Event},
        Event.GIVE_UP: (State.OVER, (Action.ABORT,)),
    },
}


class Life:
    """The state of one session. It begins as CONNECTING."""

    def __init__(self) -> None:
        self.state = State.CONNECTING

    def happened(self, event: Event) -> tuple[Action, ...]:
        """Go on to the state that follows; what has to be done at once."""
        self.state, actions = TABLE[self.state][event]
        return actions
