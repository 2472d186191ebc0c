"""One lamp that says what became of a sentence: a rhythm per outcome, and what holds between outcomes."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from agent.audio.tones import Tone
from agent.settings import Led

LEDS = Path("/sys/class/leds")
STEP_S = 0.1
"""Of a rhythm."""
_RETRY_S = 5.0

# On and off in steps: long light is good, flicker is not, and no two are alike.
RHYTHMS: dict[Tone, str] = {
    Tone.HEARD: "##",
    Tone.ACCEPTED: "##########",
    Tone.DONE: "##########..##########",
    Tone.CONFIRM: "###...",
    Tone.REJECTED: "#.#.#",
    Tone.REFUSED: "####..####..####",
    Tone.FAILED: "#.#.#.#.#.#.#.#.#.#",
    Tone.ARMED: "#.##",
}
ASKING, ARMED, IDLE = RHYTHMS[Tone.CONFIRM], "#", "."
"""Shown again and again between outcomes."""

log = structlog.get_logger()


class Light(Protocol):
    """An opened lamp."""

    def switch(self, *, on: bool) -> None:
        """Light it or not. Raises `OSError`: it is gone."""

    def close(self) -> None:
        """Put it out and give the device back. Raises `OSError`: it is gone."""


class SysLed:
    """A lamp that the kernel knows by name. Raises `OSError` if it is not there or may not be written."""

    def __init__(self, settings: Led, leds: Path = LEDS) -> None:
        folder = leds / settings.name
        self._brightness = folder / "brightness"
        self._full = int((folder / "max_brightness").read_text())
        (folder / "trigger").write_text("none")  # whatever lit it so far: disk, network, heartbeat

    def switch(self, *, on: bool) -> None:
        """Light it or not. Raises `OSError`: it is gone."""
        self._brightness.write_text(str(self._full if on else 0))

    def close(self) -> None:
        """Put it out."""
        self.switch(on=False)


class Lamp:
    """Shows rhythms. Used by one thread, which calls `tick` ten times a second.

    Args:
        open_light: opens the lamp; tried again now and then. Raises `OSError` if it is not there.
    """

    def __init__(self, open_light: Callable[[], Light]) -> None:
        self._open = open_light
        self._light: Light | None = None
        self._retry_s = -float("inf")
        self._rhythm, self._since_s = "", 0.0
        self._armed = self._asking = False
        self._on: bool | None = None
        self.failure = ""
        """Why nothing is shown; empty if all is well."""

    def show(self, tone: Tone, now_s: float) -> None:
        """Begin the rhythm of an outcome; it ends the one before it."""
        self._rhythm, self._since_s = RHYTHMS[tone], now_s

    def arm(self, *, armed: bool) -> None:
        """Light up between outcomes, or no longer."""
        self._armed = armed

    def ask(self, *, asking: bool) -> None:
        """Blink between outcomes, or no longer: who sees no question must not answer one by chance."""
        self._asking = asking

    def tick(self, now_s: float) -> None:
        """Switch it as it should be now."""
        step = int((now_s - self._since_s) / STEP_S + 1e-6)
        between = ASKING if self._asking else ARMED if self._armed else IDLE
        rhythm = self._rhythm if step < len(self._rhythm) else between
        on = rhythm[step % len(rhythm)] == "#"
        if self._light and on == self._on:
            return
        if self._light is None and now_s < self._retry_s:
            return
        try:
            self._light = self._light or self._open()
            self._light.switch(on=on)
        except (OSError, ValueError) as error:
            if str(error) != self.failure:
                log.warning("no_lamp", reason=str(error))
            self.failure, self._retry_s = str(error), now_s + _RETRY_S
            self._light = None
            return
        self._on, self.failure = on, ""

    def close(self) -> None:
        """Put it out."""
        if self._light:
            try:
                self._light.close()
            except OSError as error:
                log.warning("no_lamp", reason=str(error))
