"""Keys by real input records, through a real file descriptor: a FIFO stands for the device's node."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.panel.keys import KeyContact
from agent.settings import Key

A, B = 30, 48
PEDAL = "PCsensor FootSwitch Keyboard"


class Device:
    """An input device as Linux shows it: a name below /sys/class/input, a node below /dev/input."""

    def __init__(self, folder: Path) -> None:
        self.names, self.devices = folder / "names", folder / "devices"
        for number, name in enumerate(["Power Button", PEDAL]):
            described = self.names / f"event{number}" / "device"
            described.mkdir(parents=True)
            (described / "name").write_text(f"{name}\n")
        self.devices.mkdir()
        os.mkfifo(self.devices / "event1")
        self.writer = os.open(self.devices / "event1", os.O_RDWR)

    def open(self, pattern: str = "*footswitch*", code: int | None = None) -> KeyContact:
        return KeyContact(Key(type="key", device=pattern, code=code), self.names, self.devices)

    def unplug(self) -> None:
        """Let its name vanish, and reads of its node fail: in this order, or it is found again."""
        (self.names / "event1" / "device" / "name").unlink()
        os.close(self.writer)
        self.writer = os.open(os.devnull, os.O_WRONLY)

    def send(self, *events: tuple[int, int, int]) -> None:
        """Write events (type, code, value), each followed by its SYN_REPORT, as the kernel does."""
        for event in events:
            os.write(self.writer, struct.pack("@llHHi", 1, 2, *event) + struct.pack("@llHHi", 1, 2, 0, 0, 0))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path)
    yield device
    os.close(device.writer)


def test_a_press_and_a_release_are_told_and_repetitions_are_not(device: Device) -> None:
    contact = device.open()
    device.send((4, 4, 458756), (1, A, 1), (1, A, 2), (1, A, 2), (1, A, 0))
    assert contact.read(1.0) == [True, False]
    assert contact.read(0.0) == []
    contact.close()


def test_one_key_of_many(device: Device) -> None:
    contact = device.open(code=B)
    device.send((1, A, 1), (1, B, 1), (1, A, 0))
    assert contact.read(1.0) == [True]
    contact.close()


def test_lost_events_count_as_a_release(device: Device) -> None:
    contact = device.open()
    device.send((1, A, 1), (0, 3, 0))
    assert contact.read(1.0) == [True, False]
    contact.close()


def test_an_unplugged_device_is_an_error(device: Device) -> None:
    contact = device.open()
    device.unplug()
    with pytest.raises(OSError, match="No such device"):
        contact.read(1.0)
    contact.close()


def test_an_unknown_name_says_what_is_there(device: Device) -> None:
    with pytest.raises(OSError, match="named like 'pedal'; there are: 'Power Button', 'PCsensor"):
        device.open("pedal")
