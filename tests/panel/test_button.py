"""The button's thread: what it tells when devices come, go and misbehave."""

import queue
from pathlib import Path

import pytest

from agent.commands.events import Button as Pressed
from agent.panel import button as button_module
from agent.panel.button import Button, Contact
from tests.integration.brokers import eventually

DOWN, UP = Pressed(pressed=True), Pressed(pressed=False)


class Plug:
    """A button's device that a test plugs in and presses."""

    def __init__(self) -> None:
        self.there = False
        self.changes: queue.Queue[bool | None] = queue.Queue()
        self.closed = 0

    def open(self) -> Contact:
        if not self.there:
            raise FileNotFoundError("no such button")
        return self

    def read(self, timeout_s: float) -> list[bool]:
        try:
            change = self.changes.get(timeout=timeout_s)
        except queue.Empty:
            return []
        if change is None:
            self.there = False
            raise OSError("unplugged")
        return [change]

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(button_module, "_RETRY_S", 0.01)


def test_an_absent_button_is_named_and_found_when_it_comes() -> None:
    plug, told = Plug(), list[Pressed]()
    button = Button(plug.open, told.append)
    assert eventually(lambda: button.failure == "no such button")
    plug.there = True
    assert eventually(lambda: button.failure == "")
    plug.changes.put(True)
    plug.changes.put(False)
    assert eventually(lambda: told == [DOWN, UP])
    button.close()


def test_a_button_that_vanishes_while_it_is_down_counts_as_released() -> None:
    plug, told = Plug(), list[Pressed]()
    plug.there = True
    button = Button(plug.open, told.append)
    plug.changes.put(True)
    plug.changes.put(None)
    assert eventually(lambda: told == [DOWN, UP])
    assert eventually(lambda: button.failure == "no such button")
    assert plug.closed == 1
    plug.there = True
    assert eventually(lambda: button.failure == "")
    button.close()
    assert plug.closed == 2


def test_a_station_that_stops_lets_go() -> None:
    plug, told = Plug(), list[Pressed]()
    plug.there = True
    button = Button(plug.open, told.append)
    plug.changes.put(True)
    assert eventually(lambda: told == [DOWN])
    button.close()
    assert told == [DOWN, UP]


def test_a_chip_that_is_not_there_is_an_error_of_its_path(tmp_path: Path) -> None:
    pytest.importorskip("gpiod", reason="gpiod is not installed: pip install 'voxline[gpio]'")
    from agent.panel.gpio import GpioContact, GpioLight
    from agent.settings import GpioButton

    for chip in (tmp_path / "gpiochip7", Path("/dev/null")):
        line = GpioButton(type="gpio", chip=chip, line=3)
        with pytest.raises(OSError, match=f"{chip}, line 3: "):
            GpioContact(line)
        with pytest.raises(OSError, match=f"{chip}, line 3: "):
            GpioLight(line)
