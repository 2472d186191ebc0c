"""What a grammar file may hold: the models behind `grammar.schema.json`.

These are plain values. `agent.grammar.load` reads them from a file, `agent.grammar.compiler` makes the
decoding graph, and the command policy reads what a command risks and requires.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    PrivateAttr,
    StringConstraints,
    Tag,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from agent.grammar.fault import nearest
from agent.grammar.source import Source
from agent.names import NAME

BUILTIN = "voxline."
"""Prefix of the commands that every grammar has; no command in a file may begin like this."""
CONFIRM = BUILTIN + "confirm"
CANCEL = BUILTIN + "cancel"
WAKE = BUILTIN + "wake"

_MAX_UNKNOWN = 20
"""Unknown keys reported at once."""

_GRAMMAR_NAME = f"^{NAME}$"
_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
_TOPIC = r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$"
_SPELLING = {
    _GRAMMAR_NAME: "Use lower-case letters, digits, `.`, `_` and `-`: at most 64, a letter or digit first",
    _NAME: "Use letters, digits and `_`: at most 64, a letter first",
    _TOPIC: "Use letters, digits, `_` and `-`, with single `/` between them",
}
"""What to do about a text that does not match."""

Name = Annotated[str, StringConstraints(pattern=_NAME)]
Template = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
"""A sentence in hassil syntax: `(a|b)` alternatives, `[a]` optional, `(a;b)` any order, `{list}` or
`{list:slot}`, `<rule>`, `{0..100,5:slot}` a range in place."""
Topic = Annotated[str, StringConstraints(pattern=_TOPIC, max_length=200)]
Scalar: TypeAlias = bool | int | float | str

MAX_DECIMALS = 3
MAX_VALUES = 3_000_000
"""In one range; each position of a metre to a micrometre has 1,000,001."""


def explained(detail: ErrorDetails) -> tuple[str, str]:
    """What a validation error says, and what to do about it: the models' own say both, around a `|`."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "string_pattern_mismatch":
            return f"`{detail['input']}` cannot stand here", _SPELLING[context["pattern"]]
        case "tuple_type":
            return "must be a list", "Write it in brackets, as in [one, other]"
        case "string_type":
            return "must be a text", "Put it in quotes"
        case "too_short":
            return "is empty", "Give at least one"
        case "model_type" if context["class_name"] == NamedValue.__name__:
            return "must be a text, a number or {in: ..., out: ...}", "Put a text in quotes"
        case "dict_type" | "model_type":
            return "must be a mapping", "Write `key: value` below it, each indented by two spaces"
    message, _, advice = detail["msg"].partition("|")
    return message[:1].lower() + message[1:], advice or "Correct the value"


class Strict(BaseModel):
    """Immutable; an unknown key is refused with the nearest valid name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, data: object) -> object:
        if isinstance(data, dict):
            known = {field.alias or name for name, field in cls.model_fields.items()}
            unknown = [key for key in data if key not in known | cls._hidden]
            if unknown:
                names = sorted(known - cls._hidden)
                advice = {str(key): nearest(str(key), names) for key in unknown[:_MAX_UNKNOWN]}
                raise PydanticCustomError("unknown_key", "unknown keys: {keys}", {"keys": advice})
        return data

    _hidden: ClassVar[frozenset[str]] = frozenset()
    """Keys that are taken, but not for people to write."""


class NamedValue(Strict):
    """One value of a list: what is said, and what is published for it."""

    spoken: Annotated[Template, Field(alias="in")]
    """Template without lists and rules."""
    value: Annotated[Scalar, Field(alias="out")]


def _named(value: object) -> object:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return {"in": str(value), "out": value}
    return value


class NamedValues(Strict):
    """A list of values."""

    values: Annotated[tuple[Annotated[NamedValue, BeforeValidator(_named)], ...], Field(min_length=1)]


class Reading(StrEnum):
    """How a number is said."""

    CARDINAL = "cardinal"
    """`one thousand two hundred and fifty`, `fifteen hundred`; in Mandarin `一千二百五十`."""
    DIGITS = "digits"
    """`one two five zero`."""


class NumberRange(Strict):
    """Every `step` from `minimum` to `maximum`. Published as an integer, or a float if there are decimals."""

    minimum: Decimal
    maximum: Decimal
    step: Annotated[Decimal, Field(gt=0)] = Decimal(1)
    """Its decimals are those that can be said: 0.5 allows `twelve point five`."""
    unit: Template | None = None
    """Said after the number: `percent`, `(degree|degrees)`, or `[percent]` where it may be left out."""
    read: Annotated[tuple[Reading, ...], Field(min_length=1)] = (Reading.CARDINAL,)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.minimum > self.maximum:
            raise PydanticCustomError("range", "`minimum` is above `maximum`|Swap them")
        bounds = (self.minimum, self.maximum, self.step)
        if not all(-(10**9) < bound < 10**9 for bound in bounds):
            raise PydanticCustomError("range", "the range leaves ±999,999,999|Choose smaller bounds")
        if self.decimals > MAX_DECIMALS:
            raise PydanticCustomError("range", f"more than {MAX_DECIMALS} decimals|Choose a larger step")
        if (self.maximum - self.minimum) / self.step > MAX_VALUES:
            raise PydanticCustomError("range", f"more than {MAX_VALUES:,} values|Choose a larger step")
        return self

    @property
    def last(self) -> Decimal:
        """The largest value: `maximum`, where the steps lead to it."""
        return self.maximum - (self.maximum - self.minimum) % self.step

    def includes(self, number: Decimal) -> bool:
        """Whether a number is one of the values."""
        between = (number - self.minimum) % self.step
        return self.minimum <= number <= self.maximum and not between

    @property
    def decimals(self) -> int:
        """How many digits may follow the point; more than may be said count as one more."""
        return max(_decimals(self.minimum), _decimals(self.maximum), _decimals(self.step))


class Spelled(Strict):
    """Characters said one by one: `one two five zero` is "1250", `J O E` is "JOE". Published as text."""

    spell: Literal["digits", "letters", "icao"]
    """`icao`: letters as `alfa bravo charlie`, and digits. (Plain letters and digits are not mixed: `A T` and
    `eight E` are the same sounds.)"""
    min_length: Annotated[int, Field(ge=1, le=32)] = 1
    max_length: Annotated[int, Field(ge=1, le=32)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_length > self.max_length:
            raise PydanticCustomError("range", "`min_length` is above `max_length`|Swap them")
        return self


def _decimals(number: Decimal) -> int:
    exact = (places for places in range(MAX_DECIMALS + 1) if round(number, places) == number)
    return next(exact, MAX_DECIMALS + 1)


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "values" if "values" in value else "spell" if "spell" in value else "range"
    return "range" if isinstance(value, NumberRange) else "spell" if isinstance(value, Spelled) else "values"


SlotList = Annotated[
    Annotated[
        NamedValues,
        BeforeValidator(
            lambda value: {"values": value} if isinstance(value, list) else value,
            json_schema_input_type=list[str | int | float | NamedValue] | NamedValues,
        ),
        Tag("values"),
    ]
    | Annotated[NumberRange, Tag("range")]
    | Annotated[Spelled, Tag("spell")],
    Discriminator(_kind),
]


class Condition(Strict):
    """Something a machine must report before a command may be said at all.

    Exactly one of `equals`, `one_of`, or a limit (`minimum`, `maximum` or both) is given.
    """

    state: Topic
    """Name of the machine-state value, such as `press/door_closed`."""
    equals: Scalar | None = None
    one_of: tuple[Scalar, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    max_age_s: Annotated[float, Field(gt=0, le=86_400)] = 10.0
    """An older value counts as unknown, and an unknown value does not hold."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        limits = self.minimum is not None or self.maximum is not None
        if (self.equals is not None) + (self.one_of is not None) + limits != 1:
            raise PydanticCustomError(
                "condition",
                "a condition needs exactly one test|Give `equals`, `one_of`, or `minimum` and `maximum`",
            )
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise PydanticCustomError("condition", "`minimum` is above `maximum`|Swap them")
        return self

    def holds(self, value: object) -> bool:
        """Whether `value`, as the machine reported it, meets the condition; one of another type does not."""
        if self.equals is not None:
            return same(value, self.equals)
        if self.one_of is not None:
            return any(same(value, allowed) for allowed in self.one_of)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        above = self.minimum is None or value >= self.minimum
        return above and (self.maximum is None or value <= self.maximum)


def same(value: object, wanted: Scalar) -> bool:
    """Whether two values are one: `true` is not 1, but 1 is 1.0."""
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted


class Risk(StrEnum):
    """What a wrong command costs."""

    LOW = "low"
    """Nothing moves, or it only stops."""
    NORMAL = "normal"
    HIGH = "high"
    """Always read back and confirmed."""


class Command(Strict):
    """Something an operator can ask for."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"name"})

    name: SkipJsonSchema[str] = ""
    """The key in the file; `voxline.confirm`, `voxline.cancel` and `voxline.wake` for the built-in ones."""
    sentences: Annotated[tuple[Template, ...], Field(min_length=1)]
    slots: dict[Name, SlotList] = Field(default_factory=dict)
    """Lists of this command alone; they go before those in `lists`."""
    risk: Risk = Risk.NORMAL
    topic: Topic
    """Suffix of the command's topic."""
    payload: JsonValue = Field(default_factory=dict)
    """What is published. "{slot}" becomes the slot's value with its type; within a longer text, its text. A
    member whose slot was not spoken is left out."""
    requires: tuple[Condition, ...] = ()
    """All must hold; else the command leaves the decoding graph."""
    time_to_live_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """From the end of speech; a command that is not delivered by then is dropped."""
    refractory_s: Annotated[float, Field(ge=0, le=600)] = 1.0
    """After the command was accepted, it is not accepted again for so long."""
    description: str = ""

    @property
    def builtin(self) -> bool:
        """Whether it is one of Voxline's own: never published, it steers the dialogue."""
        return self.name.startswith(BUILTIN)


_PHRASES = {
    "en": {"confirm": ("confirm", "yes do it"), "cancel": ("cancel", "never mind")},
    "zh": {"confirm": ("确认", "确定执行"), "cancel": ("取消", "取消操作")},
}

Sounds = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Pronunciations = Annotated[
    tuple[Sounds, ...],
    BeforeValidator(
        lambda value: value if isinstance(value, list | tuple) else [value],
        json_schema_input_type=Sounds | tuple[Sounds, ...],
    ),
]


class Grammar(Strict):
    """Everything operators can say at one station."""

    name: Annotated[str, StringConstraints(pattern=_GRAMMAR_NAME)]
    language: Literal["en", "zh"] = "en"
    """Language of numbers and of the default phrases. Words of the other script may stand beside it."""
    description: str = ""
    wake: tuple[Template, ...] = ()
    """Phrases that arm the station; any phrase will do, nothing is trained."""
    confirm: tuple[Template, ...] = ()
    """Phrases that confirm a read-back; by default those of the language, `[]` for none."""
    cancel: tuple[Template, ...] = ()
    lists: dict[Name, SlotList] = Field(default_factory=dict)
    """Values for slots, for all commands."""
    rules: dict[Name, Template] = Field(default_factory=dict)
    """Parts of sentences, for all commands and rules."""
    pronounce: dict[str, Pronunciations] = Field(default_factory=dict)
    """Word to sounds, separated by spaces: ARPAbet without stress, or pinyin parts without tone."""
    commands: Annotated[dict[Name, Command], Field(min_length=1)]

    _source: Source = PrivateAttr(default_factory=Source)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        filled: dict[str, Any] = dict(data)
        language = filled.get("language", "en")
        for key, phrases in _PHRASES.get(language if isinstance(language, str) else "", {}).items():
            filled.setdefault(key, phrases)
        commands = filled.get("commands")
        if isinstance(commands, dict):
            filled["commands"] = {name: _with_name(name, body) for name, body in commands.items()}
        return filled

    @property
    def source(self) -> Source:
        """Where its parts stand in the file."""
        return self._source

    def all_commands(self) -> tuple[Command, ...]:
        """The commands of the file, then the built-in ones."""
        builtin = {CONFIRM: self.confirm, CANCEL: self.cancel, WAKE: self.wake}
        return (
            *self.commands.values(),
            *(
                Command(name=name, sentences=sentences, risk=Risk.LOW, topic=name.removeprefix(BUILTIN))
                for name, sentences in builtin.items()
                if sentences
            ),
        )


def _with_name(name: object, body: object) -> object:
    if not isinstance(body, dict):
        return body
    if body.get("name", name) != name:
        names = sorted(key for key in Command.model_fields if key != "name")
        advice = {"name": nearest("name", names)}
        raise PydanticCustomError("unknown_key", "unknown keys: {keys}", {"keys": advice, "command": name})
    return {**body, "name": name}


def with_source(grammar: Grammar, source: Source) -> Grammar:
    """Tell `grammar` where its parts stand."""
    grammar._source = source
    return grammar
