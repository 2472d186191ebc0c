"""What the plant says, as events of the command policy. Pure but for the memory of who is online."""

from datetime import datetime

from agent.commands.events import (
    Answer,
    Answered,
    Button,
    Claimed,
    Event,
    InhibitReported,
    PeersChanged,
    StateReported,
)
from agent.messaging.contract import (
    Claim,
    Inhibit,
    MachineState,
    Response,
    State,
    Status,
    Talk,
)
from agent.messaging.inbound import Admitted
from agent.messaging.payload import Quality

MAX_PEERS = 256
"""Stations of a cell that are kept in mind."""


class Interpreter:
    """Turns admitted messages into events.

    Args:
        station: our own id: our own state comes back to us, and we are not our peer.

    """

    def __init__(self, station: str) -> None:
        self._station = station
        self._peers: frozenset[str] = frozenset()

    def event(self, message: Admitted, now: datetime, waited_s: float) -> Event | None:
        """Say what a message, which came `waited_s` ago, means to the policy; None: nothing new."""
        payload = message.payload
        age_s = abs((now - payload.time).total_seconds())  # from the future: one of the clocks is wrong
        said_s = min(payload.time, now).timestamp()  # a clock that once was far ahead must not win for ever
        match payload:
            case Response():
                return Answered(payload.command_id, Answer(payload.outcome), payload.reason)
            case Talk():
                return Button(payload.pressed, waited_s)
            case Inhibit():
                return InhibitReported(payload.active, payload.who, payload.why, age_s, said_s)
            case MachineState():
                value = payload.value if payload.quality is Quality.GOOD else None
                return StateReported(message.name, value, age_s, said_s)
            case Claim():
                age_s = payload.age_seconds + waited_s
                return Claimed(message.station, payload.command_id, payload.command, age_s)
            case State():
                return self._peer(message.station, payload.status)
        return None

    def _peer(self, station: str, status: Status) -> PeersChanged | None:
        online = status is not Status.OFFLINE and station != self._station
        if online and len(self._peers) >= MAX_PEERS:
            return None  # whether there are any is what counts
        peers = self._peers | {station} if online else self._peers - {station}
        if peers == self._peers:
            return None
        self._peers = peers
        return PeersChanged(peers)
