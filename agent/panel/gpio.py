"""Lines of a GPIO chip through gpiod 2: a button between line and ground (or supply), a lamp."""

from datetime import timedelta

import gpiod
from gpiod.line import Bias, Direction, Edge, Value

from agent.settings import GpioButton, GpioLine

_CONSUMER = "voxline"


class GpioContact:
    """A button. The kernel debounces it, in software where the chip cannot.

    Raises:
        OSError: there is no such chip or line, or somebody else uses it.
    """

    def __init__(self, settings: GpioButton) -> None:
        line = gpiod.LineSettings(
            direction=Direction.INPUT,
            edge_detection=Edge.BOTH,
            bias=Bias.PULL_UP if settings.active_low else Bias.PULL_DOWN,
            active_low=settings.active_low,
            debounce_period=timedelta(seconds=settings.debounce_s),
        )
        self._request = _request(settings, line)

    def read(self, timeout_s: float) -> list[bool]:
        """Wait for changes; give them in order. Raises `OSError`: the chip is gone."""
        if not self._request.wait_edge_events(timeout_s):
            return []
        edges = self._request.read_edge_events()
        return [edge.event_type is edge.Type.RISING_EDGE for edge in edges]  # rising: to the active level

    def close(self) -> None:
        """Give the line back."""
        self._request.release()


class GpioLight:
    """A lamp. Raises as `GpioContact`."""

    def __init__(self, settings: GpioLine) -> None:
        line = gpiod.LineSettings(direction=Direction.OUTPUT, active_low=settings.active_low)
        self._line = settings.line
        self._request = _request(settings, line)

    def switch(self, *, on: bool) -> None:
        """Light it or not. Raises `OSError`: the chip is gone."""
        self._request.set_value(self._line, Value.ACTIVE if on else Value.INACTIVE)

    def close(self) -> None:
        """Put it out and give the line back: most chips leave it as it was. Raises as `switch`."""
        try:
            self.switch(on=False)
        finally:
            self._request.release()


def _request(settings: GpioLine, line: gpiod.LineSettings) -> gpiod.LineRequest:
    try:
        return gpiod.request_lines(str(settings.chip), consumer=_CONSUMER, config={settings.line: line})
    except (OSError, ValueError) as error:  # ValueError: no line of that name
        raise OSError(f"{settings.chip}, line {settings.line}: {error}") from error
