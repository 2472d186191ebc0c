"""What a channel of the contract is: where messages travel, and what may happen to them on the way."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

CONTENT_TYPE = "application/json"
MAX_INBOUND_BYTES = 16_384
"""Larger messages are refused; the broker is told not to send them."""
PIECE_BYTES = 65_536
"""The most of a file that one message brings over MQTT."""


class Place(StrEnum):
    """Below which topic a channel lies."""

    STATION = "{cell}/voice/{station}"
    VOICE = "{cell}/voice"
    """Shared by the stations of a cell."""
    CELL = "{cell}"
    """The machines' own."""


class Senders(StrEnum):
    """Whose messages of a kind a station hears."""

    NONE = "none"
    OWN = "own"
    """Those at its own topic, or at the one that its cell shares."""
    ALL = "all"
    """Those of every station of its cell, itself included."""


class Keep(StrEnum):
    """What happens to a message while there is no link."""

    NEVER = "never"
    """It is dropped: later it would be dangerous (a command) or wrong (the retained ones are said anew)."""
    RING = "ring"
    """The latest are kept; how many were dropped is counted."""
    DURABLE = "durable"
    """All are kept, in order, over a power cut: who did what."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One kind of message: where it travels and how."""

    name: str
    """The last part of the topic, and the middle of the CloudEvents type: `event/accept`."""
    qos: Literal[1, 2] = 1
    retain: bool = False
    """The broker keeps the latest. Where we hear: only then is a kept one obeyed."""
    place: Place = Place.STATION
    suffixed: bool = False
    """More levels follow: the grammar's topic of a command, the name of a machine state."""
    spoken: bool = True
    """Stations publish it."""
    heard: Senders = Senders.NONE
    vital: bool = False
    """Heard: whoever may not hear it does not know what forbids a command, so it has no link at all."""
    expiry_s: int | None = None
    """Its time to live at the broker; a command's is its own."""
    keep: Keep = Keep.NEVER
    max_age_s: float | None = None
    """Heard: refused when its `time` is further than this from ours."""

    @property
    def address(self) -> str:
        """The topic with `{cell}`, `{station}` and `{topic}` left open."""
        return f"{self.place}/{self.name}{'/{topic}' if self.suffixed else ''}"
