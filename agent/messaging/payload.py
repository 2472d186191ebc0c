"""What every payload of the contract is and holds."""

from datetime import UTC, datetime, time
from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from uuid_utils.compat import uuid7

from agent.messaging.channel import Channel


class Quality(StrEnum):
    """How far a SCADA system may trust a payload, after OPC."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    """The station's clock is not synchronized: `time` may be off."""
    BAD = "bad"


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # the first hours of year 1 and the last of 9999, in some time zone
        raise ValueError("lies outside the years 1 to 9999 in UTC") from error


Utc = Annotated[AwareDatetime, AfterValidator(_utc)]


Line = Annotated[
    str,
    BeforeValidator(lambda text: text[:200] if isinstance(text, str) else text),
    Field(max_length=200),
]
"""A line of text that is cut where it is longer: what comes with it counts all the same."""


def _by_local_clock(hour: time) -> time:
    if hour.tzinfo is not None:
        raise ValueError("it is the station's local clock: write 22:00, without Z or an offset")
    return hour


Hour = Annotated[
    time,
    AfterValidator(_by_local_clock),
    # JSON Schema's own format `time` asks for an offset.
    WithJsonSchema({"type": "string", "pattern": r"^\d\d:\d\d(:\d\d(\.\d+)?)?$"}),
]


class Part(BaseModel):
    """A piece of a payload."""

    # A misspelt field is refused. Where machines of other makers or later stations speak it is passed over.
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Payload(Part):
    """What every payload holds."""

    channel: ClassVar[Channel]

    schema_version: Literal["1.0"] = "1.0"
    id: UUID = Field(default_factory=uuid7)
    """Unique; a message that comes twice has it twice."""
    time: Utc
    """When it happened, UTC."""
    quality: Quality = Quality.GOOD
