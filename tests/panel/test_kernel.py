"""Buttons and lamps on devices that the kernel plays: gpio-sim and uinput, where it can, and root may.

`python -m tests.panel.vm` runs them anywhere, in a virtual machine.
"""

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.audio.tones import Tone
from agent.commands.events import Button as Pressed
from agent.panel.button import Button
from agent.panel.keys import KeyContact
from agent.panel.lamp import RHYTHMS, STEP_S, Lamp
from agent.settings import GpioButton, GpioLine, Key
from tests.integration.brokers import eventually

CHIPS = Path("/sys/kernel/config/gpio-sim")
DOWN, UP = Pressed(pressed=True), Pressed(pressed=False)
_UI_DEV_CREATE, _UI_SET_EVBIT, _UI_SET_KEYBIT = 0x5501, 0x40045564, 0x40045565
F13 = 183


class Chip:
    """A simulated GPIO chip of two lines, of which a test pulls one and reads the other."""

    def __init__(self) -> None:
        self._config = CHIPS / "voxline"
        bank = self._config / "bank0"
        bank.mkdir(parents=True)
        (bank / "num_lines").write_text("2")
        (self._config / "live").write_text("1")
        chip = (bank / "chip_name").read_text().strip()
        self.path = Path("/dev") / chip
        device = (self._config / "dev_name").read_text().strip()
        self._lines = Path(f"/sys/devices/platform/{device}/{chip}")

    def pull(self, line: int, way: str) -> None:
        (self._lines / f"sim_gpio{line}" / "pull").write_text(f"pull-{way}")

    def value(self, line: int) -> str:
        return (self._lines / f"sim_gpio{line}" / "value").read_text().strip()

    def remove(self) -> None:
        (self._config / "live").write_text("0")
        (self._config / "bank0").rmdir()
        self._config.rmdir()


@pytest.fixture
def chip() -> Iterator[Chip]:
    pytest.importorskip("gpiod", reason="gpiod is not installed: pip install 'voxline[gpio]'")
    if not os.access(CHIPS, os.W_OK):
        pytest.skip("no gpio-sim: python -m tests.panel.vm")
    chip = Chip()
    yield chip
    chip.remove()


def test_a_button_between_line_and_ground(chip: Chip) -> None:
    from agent.panel.gpio import GpioContact

    told: list[Pressed] = []
    button = Button(lambda: GpioContact(GpioButton(type="gpio", chip=chip.path, line=0)), told.append)
    assert eventually(lambda: button.failure == "")
    chip.pull(0, "down")
    assert eventually(lambda: told == [DOWN])
    chip.pull(0, "up")
    assert eventually(lambda: told == [DOWN, UP])
    button.close()


def test_a_bouncing_button_is_pressed_once(chip: Chip) -> None:
    from agent.panel.gpio import GpioContact

    contact = GpioContact(GpioButton(type="gpio", chip=chip.path, line=0, debounce_s=0.2))
    for _ in range(10):
        chip.pull(0, "down")
        chip.pull(0, "up")
    chip.pull(0, "down")
    assert contact.read(5.0) == [True]
    assert contact.read(0.5) == []
    contact.close()


def test_a_line_that_is_taken_is_named(chip: Chip) -> None:
    from agent.panel.gpio import GpioContact

    settings = GpioButton(type="gpio", chip=chip.path, line=0)
    contact = GpioContact(settings)
    with pytest.raises(OSError, match=f"{chip.path}, line 0: .*busy"):
        GpioContact(settings)
    contact.close()


def test_a_lamp_on_a_line(chip: Chip) -> None:
    from agent.panel.gpio import GpioLight

    lamp = Lamp(lambda: GpioLight(GpioLine(type="gpio", chip=chip.path, line=1)))
    lamp.show(Tone.REJECTED, 0.0)
    seen = ""
    for step in range(len(RHYTHMS[Tone.REJECTED])):
        lamp.tick(step * STEP_S)
        seen += "#" if chip.value(1) == "0" else "."  # it lies between line and supply: low is lit
    assert seen == RHYTHMS[Tone.REJECTED]
    lamp.close()


@pytest.fixture
def pedal() -> Iterator[int]:
    """A keyboard of one key that the kernel believes in."""
    if not os.access("/dev/uinput", os.W_OK):
        pytest.skip("no uinput: python -m tests.panel.vm")
    device = os.open("/dev/uinput", os.O_WRONLY)
    fcntl.ioctl(device, _UI_SET_EVBIT, 1)
    fcntl.ioctl(device, _UI_SET_KEYBIT, F13)
    os.write(device, struct.pack("80sHHHHI", b"Voxline test pedal", 3, 1, 1, 1, 0) + bytes(4 * 64 * 4))
    fcntl.ioctl(device, _UI_DEV_CREATE)
    yield device
    os.close(device)


def tap(device: int, value: int) -> None:
    os.write(device, struct.pack("@llHHi", 0, 0, 1, F13, value) + struct.pack("@llHHi", 0, 0, 0, 0, 0))


def test_a_pedal_is_found_by_name_read_and_lost(pedal: int) -> None:
    told: list[Pressed] = []
    button = Button(lambda: KeyContact(Key(type="key", device="voxline*pedal", code=F13)), told.append)
    assert eventually(lambda: button.failure == "")
    tap(pedal, 1)
    assert eventually(lambda: told == [DOWN])
    time.sleep(1.0)  # the kernel repeats a key that is held
    assert told == [DOWN]
    tap(pedal, 0)
    assert eventually(lambda: told == [DOWN, UP])
    tap(pedal, 1)
    assert eventually(lambda: told == [DOWN, UP, DOWN])
    fcntl.ioctl(pedal, 0x5502)  # unplugged while it is down
    assert eventually(lambda: "no input device is named like" in button.failure)
    assert told[:4] == [DOWN, UP, DOWN, UP]
    assert DOWN not in told[4:]  # the kernel lets a key go that vanishes, and so does the button
    button.close()


def test_a_device_that_another_program_has_is_named(pedal: int) -> None:
    settings = Key(type="key", device="voxline*pedal")
    contact = KeyContact(settings)
    with pytest.raises(OSError, match="another program has taken it for itself"):
        KeyContact(settings)
    contact.close()
    assert pedal
