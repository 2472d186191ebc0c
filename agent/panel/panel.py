"""What operators press, see and hear at the machine, as one."""

import time
from collections.abc import Callable

import structlog

from agent.audio.player import Line, TonePlayer
from agent.audio.tones import Tone
from agent.commands.events import Button as Pressed
from agent.errors import AudioError, SettingsError
from agent.health.snapshot import PanelHealth
from agent.panel.button import Button, Contact
from agent.panel.keys import KeyContact
from agent.panel.lamp import Lamp, Light, SysLed
from agent.settings import GpioButton, GpioLine, Key, Led
from agent.settings import Panel as Settings

READ_ALOUD = {Tone.CONFIRM, Tone.REJECTED, Tone.REFUSED, Tone.FAILED}
"""Where the words matter; the station is deaf while it speaks, so it does not read what needs no answer."""

log = structlog.get_logger()


class Panel:
    """Button, lamp and loudspeaker, each where there is one.

    Args:
        settings: say what there is.
        post: takes presses and releases. Any thread.
        before_sound: as for `TonePlayer`; None: no loudspeaker, since nobody is there to hear.

    Raises:
        SettingsError: a part takes a package that is not installed.
    """

    def __init__(
        self,
        settings: Settings,
        post: Callable[[Pressed], None],
        before_sound: Callable[[float], None] | None,
    ) -> None:
        require_packages(settings)
        self._speech = settings.speech
        self._lamp = _lamp(settings)
        self._player = _player(before_sound) if before_sound else None
        self._button = _button(settings, post)
        self.language = "en"
        """Of the grammar, for what is read aloud."""

    def show(self, tone: Tone, text: str) -> None:
        """Let the operator hear and see an outcome; returns at once."""
        if self._player:
            aloud = self._speech and tone in READ_ALOUD
            self._player.play(tone, Line(text, self.language) if aloud else None)
        if self._lamp:
            self._lamp.show(tone, time.monotonic())

    def arm(self, *, armed: bool) -> None:
        """Show whether who speaks now may command."""
        if self._lamp:
            self._lamp.arm(armed=armed)

    def ask(self, *, asking: bool) -> None:
        """Show whether a question stands."""
        if self._lamp:
            self._lamp.ask(asking=asking)

    def tick(self, now_s: float) -> None:
        """Move the lamp on; call it ten times a second."""
        if self._lamp:
            self._lamp.tick(now_s)

    def health(self) -> PanelHealth:
        """Say what does not work, and why."""
        return PanelHealth(
            button=self._button.failure if self._button else "",
            lamp=self._lamp.failure if self._lamp else "",
            sound=(self._player.failure or "") if self._player else "",
        )

    def close(self) -> None:
        """Give all devices back, after the tones that wait."""
        if self._button:
            self._button.close()
        if self._lamp:
            self._lamp.close()
        if self._player:
            self._player.close()


def _player(before_sound: Callable[[float], None]) -> TonePlayer | None:
    try:
        return TonePlayer(before=before_sound)
    except AudioError as error:
        log.warning("no_tones", reason=str(error))
        return None


def _button(settings: Settings, post: Callable[[Pressed], None]) -> Button | None:
    match settings.button:
        case None:
            return None
        case Key() as key:
            return Button(lambda: KeyContact(key), post)
        case GpioButton() as line:

            def contact() -> Contact:
                from agent.panel.gpio import GpioContact

                return GpioContact(line)

            return Button(contact, post)


def _lamp(settings: Settings) -> Lamp | None:
    match settings.lamp:
        case None:
            return None
        case Led() as led:
            return Lamp(lambda: SysLed(led))
        case GpioLine() as line:

            def light() -> Light:
                from agent.panel.gpio import GpioLight

                return GpioLight(line)

            return Lamp(light)


def require_packages(settings: Settings) -> None:
    """See that what the panel takes is installed.

    Raises:
        SettingsError: a part takes a package that is not.
    """
    for what, part in {"button": settings.button, "lamp": settings.lamp}.items():
        if isinstance(part, GpioLine):
            try:
                import gpiod  # noqa: F401 - only stations with wires have it
            except ImportError as error:
                raise SettingsError(
                    f"[panel.{what}] type = \"gpio\" needs gpiod: pip install 'voxline[gpio]'"
                ) from error
