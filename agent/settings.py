"""Every setting of a station: a TOML file, over it secret files, over them environment variables.

Units stand in the names: `_s`, `_ms`, `_hz`, `_db`, `_bytes`. `config.example.toml` documents every field.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as PydanticSettingsError

from agent.errors import SettingsError
from agent.names import TopicLevel
from agent.settings_faults import Origin, describe, read_toml, unknown_names, unusable_secrets

SYSTEM_FILE = Path("/etc/voxline/config.toml")
SYSTEM_SECRETS = Path("/etc/voxline/secrets")
"""Used where systemd names no credentials directory."""
ENVIRONMENT_PREFIX = "VOXLINE_"


def _host(name: str) -> str:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        if not re.fullmatch(r"[^:/\s.]+(\.[^:/\s.]+)*\.?", name):
            advice = 'write its name or address alone, such as "broker.plant"; `port` is a setting of its own'
            raise ValueError(advice) from None
    return name


def _source(name: str) -> str:
    if not re.fullmatch(r"https?://.+|mqtt|/.+", name):
        raise ValueError(
            'write an address such as "https://updates.example/voxline/", "mqtt", or a folder from / on'
        )
    return name


class Section(BaseModel):
    """One table of the file. Values never change while the agent runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Station(Section):
    """Where the station stands: the ISA-95 path of its topics, from the company down to the station."""

    enterprise: TopicLevel
    site: TopicLevel
    area: TopicLevel
    line: TopicLevel
    cell: TopicLevel
    id: TopicLevel


class Microphone(Section):
    """A sound device that is found by name."""

    type: Literal["microphone"] = "microphone"
    device: str = "*"
    """Pattern for the device name, `*` and `?` as in file names, upper and lower case alike."""


class AudioFile(Section):
    """A recording, played once in real time as if it were heard."""

    type: Literal["file"]
    path: Path


class Stdin(Section):
    """Raw PCM on standard input: 16 kHz, mono, signed 16 bit, little endian."""

    type: Literal["stdin"]


class Recognition(Section):
    """What can be said, and how sure the recognizer must be."""

    grammar: Path
    bundle: Path
    engine: Literal["auto", "onnx", "rknn"] = "auto"
    operating_point: Literal["low", "normal", "high"] = "normal"


class Commands(Section):
    """How careful the station is before it moves a machine."""

    arming: Literal["open", "wake", "push_to_talk"] = "open"
    """open: always; wake: after a wake phrase of the grammar; push_to_talk: while a button is held."""
    armed_window_s: float = Field(default=8.0, ge=1, le=60)
    """After the wake phrase a command must begin within this time."""
    reject_below: float = Field(default=0.5, ge=0, le=1)
    """Probability of being right that any command needs."""
    confirm_below: float = Field(default=0.8, ge=0, lt=1)
    """Less sure commands of normal risk are asked back. A confirmation must be as sure: none is at 1."""
    confirm_window_s: float = Field(default=8.0, ge=2, le=60)
    """A question that nobody answers within this time is cancelled."""
    inhibit_required: bool = True
    """Refuse normal and high risk while no lockout topic says that commands are free."""
    inhibit_max_age_s: float = Field(default=60.0, ge=1, le=86_400)
    """An older statement that commands are free counts as unknown. A lockout never ages."""
    answer_within_s: float = Field(default=5.0, ge=0, le=600)
    """After delivery the consumer of a command must answer within this time; 0: it never answers."""
    burst_commands: int = Field(default=6, ge=1, le=100)
    """More commands than this within `burst_window_s` are noise, not an operator."""
    burst_window_s: float = Field(default=10.0, ge=1, le=600)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.reject_below > self.confirm_below:
            raise ValueError("reject_below must not be above confirm_below")
        return self


class GpioLine(Section):
    """A line of a GPIO chip; see `gpioinfo`."""

    type: Literal["gpio"]
    chip: Path = Path("/dev/gpiochip0")
    line: int | str
    """Number on the chip, or name."""
    active_low: bool = True
    """The device lies between the line and ground; else between the line and supply."""


class GpioButton(GpioLine):
    """A button on a line; the line's own resistor is switched on."""

    debounce_s: float = Field(default=0.02, ge=0, le=0.2)


class Key(Section):
    """A foot switch, keypad or keyboard; the station takes it for itself."""

    type: Literal["key"]
    device: str = Field(min_length=1)
    """Pattern for the device's name, as for microphones."""
    code: int | None = Field(default=None, ge=1, le=767)
    """Number of the key, as `evtest` shows it; None: any key of the device."""


class Led(Section):
    """A lamp that the kernel knows by name."""

    type: Literal["led"]
    name: str = Field(pattern=r"^[^/.][^/]*$")
    """A folder in /sys/class/leds."""


class Panel(Section):
    """What operators press, see and hear at the machine."""

    button: Annotated[GpioButton | Key, Field(discriminator="type")] | None = None
    """Push-to-talk; the MQTT topic `talk` works as well."""
    lamp: Annotated[GpioLine | Led, Field(discriminator="type")] | None = None
    """Shows what became of a sentence, and whether the station is armed."""
    speech: bool = False
    """Questions, refusals and failures are read aloud as well, by the program espeak-ng."""


class Tls(Section):
    """Encryption; with `certificate` and `key` the station proves who it is, too."""

    ca: Path | None = None
    """None: the authorities that the system trusts."""
    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key come together: give both or neither")
        return self


class Mqtt(Section):
    """The broker, and how patient the station is with it."""

    host: Annotated[str, AfterValidator(_host)] = "localhost"
    port: int = Field(default=1883, ge=1, le=65535)
    tls: Tls | None = None
    username: str | None = None
    password: SecretStr | None = None
    keepalive_s: int = Field(default=10, ge=2, le=3600)
    """A dead link is noticed within this time."""
    reconnect_spread_s: float = Field(default=60.0, ge=0.1, le=3600)
    """When a broker comes back its stations return evenly spread over this time."""

    flat_values: bool = False
    """Also publish single values on topics of their own, for SCADA drivers that read no documents."""
    sparkplug: bool = False
    """Also publish these values by Sparkplug B, on a second connection."""

    @field_validator("password")
    @classmethod
    def _whole(cls, password: SecretStr | None) -> SecretStr | None:
        if password is None:
            return None
        text = password.get_secret_value().removeprefix("\ufeff")  # editors of Windows begin a file with it
        if not text:
            raise ValueError("is empty; write the password, or leave it out")
        return SecretStr(text)

    @model_validator(mode="after")
    def _who(self) -> Self:
        if self.password is not None and self.username is None:
            raise ValueError("a password needs a username")
        return self


class Health(Section):
    """The station's report on itself."""

    interval_s: float = Field(default=10.0, ge=1, le=3600)
    self_test_interval_s: float = Field(default=3600.0, ge=10, le=86_400)
    """The station lets itself hear a known utterance this often; also whenever it is asked to."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Where Prometheus finds /metrics; None: nowhere."""


class Logging(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"
    """auto: text on a terminal, JSON elsewhere."""


class Storage(Section):
    """Directories of the agent; each is made where it is missing."""

    state: Path = Path("/var/lib/voxline")
    """What must survive: outbox, audit log, installed bundles."""
    cache: Path = Path("/var/cache/voxline")
    """What can be made again: compiled grammars."""

    @property
    def audit(self) -> Path:
        """The record of every decision."""
        return self.state / "audit"

    @property
    def updates(self) -> Path:
        """Everything about updates."""
        return self.state / "updates"

    @property
    def grammars(self) -> Path:
        """Compiled grammars."""
        return self.cache / "grammars"


class Updates(Section):
    """Where signed models and grammars come from."""

    source: Annotated[str, AfterValidator(_source)] | None = None
    """URL of a repository, `mqtt` to ask `voxline update serve` at the broker, a folder; None: no updates."""
    root: Path = Path("/etc/voxline/root.json")
    """Whose signatures are believed: the repository's root metadata."""
    tls: Tls | None = None
    """For a source with https."""
    reserve_bytes: int = Field(default=256 * 2**20, ge=0)
    """Of the disk, left free."""
    check_interval_s: float = Field(default=3600.0, ge=10, le=7 * 86_400)
    """A channel that is followed is asked this often, and what was refused is tried again."""
    probation_s: float = Field(default=600.0, ge=1, le=7 * 86_400)
    """A new bundle is watched for at least this long, and for `probation_utterances`."""
    probation_utterances: int = Field(default=10, ge=0, le=10_000)


class _Layered(BaseSettings):
    """A file, over it secret files, over them environment variables."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        secrets = NestedSecretsSettingsSource(
            file_secret_settings, _secrets_directory(), secrets_dir_missing="ok", secrets_prefix=""
        )
        return env_settings, secrets, init_settings


def _secrets_directory() -> Path:
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", SYSTEM_SECRETS))


class Settings(_Layered):
    """All settings of one station. Build it with `load`, or from sections in a test."""

    station: Station
    audio: Annotated[Microphone | AudioFile | Stdin, Field(discriminator="type")] = Microphone()
    recognition: Recognition
    commands: Commands = Commands()
    panel: Panel = Panel()
    mqtt: Mqtt = Mqtt()
    health: Health = Health()
    logging: Logging = Logging()
    storage: Storage = Storage()
    updates: Updates = Updates()


class Account(_Layered):
    """An account at the broker, for programs that are no station."""

    mqtt: Mqtt


_S = TypeVar("_S", bound=_Layered)


def load(path: Path | None = None) -> Settings:
    """Read the settings of this station.

    The file is `path`, else the one VOXLINE_CONFIG names, else /etc/voxline/config.toml. Secret files lie in
    systemd's credentials directory, else in /etc/voxline/secrets: the file `mqtt__password` holds
    `[mqtt] password`. The variable VOXLINE_MQTT__PASSWORD would hold it as well, and wins.

    Raises:
        SettingsError: names every fault with its file and line, and what would be valid.
    """
    origin = read_origin(path)
    return _build(Settings, origin.data, origin)


def load_account(path: Path | None = None) -> Account:
    """Read `[mqtt]` alone, as `load` does; what a station's file has beside it counts for nothing.

    Raises:
        SettingsError: as `load`.
    """
    origin = read_origin(path)
    own = {
        name: section
        for name, section in origin.data.items()
        if name in Account.model_fields or name not in Settings.model_fields
    }
    return _build(Account, own, origin)


def read_origin(path: Path | None = None) -> Origin:
    """Read what `load` builds settings of. Raises `SettingsError` where the file cannot be read."""
    path = path or Path(os.environ.get("VOXLINE_CONFIG", SYSTEM_FILE))
    text, data = read_toml(path)
    environment = {name.upper(): value for name, value in os.environ.items()}
    return Origin(path, text, data, _secrets_directory(), environment, ENVIRONMENT_PREFIX)


def _build(kind: type[_S], data: Mapping[str, Any], origin: Origin) -> _S:
    try:
        if unknown := [*unknown_names(Settings, origin), *unusable_secrets(Settings, origin)]:
            raise SettingsError("\n".join(unknown))
        return kind(**data)
    except ValidationError as error:
        raise SettingsError("\n".join(describe(kind, error, origin))) from error
    except OSError as error:  # only secret files are read here
        advice = "let this user read the secret files, or name their folder in CREDENTIALS_DIRECTORY"
        raise SettingsError(f"{error.filename}: {error.strerror}; {advice}") from error
    except (PydanticSettingsError, UnicodeDecodeError) as error:
        raise SettingsError(f"environment or secret files in {origin.secrets}: {error}") from error
