"""A key of an input device: what a foot switch, a keypad or a keyboard is to Linux."""

import errno
import fcntl
import os
import select
import struct
from fnmatch import fnmatchcase
from pathlib import Path

from agent.settings import Key

_RECORD = struct.Struct("@llHHi")
"""`struct input_event` of linux/input.h: seconds, microseconds, type, code, value."""
_EV_SYN, _EV_KEY, _SYN_DROPPED = 0, 1, 3
_RELEASED, _PRESSED = 0, 1  # 2 is the repetition of a key that is held
_EVIOCGRAB = 0x40044590
_BATCH = 64
_NAMES = Path("/sys/class/input")


class KeyContact:
    """A key, or every key of a device: a foot switch has but one. Nobody else gets its keystrokes meanwhile.

    Args:
        settings: pattern of the device's name, and the key.
        names: where Linux lists input devices; another one in tests.
        devices: where their nodes are.

    Raises:
        OSError: no such device, or it may not be read.
    """

    def __init__(self, settings: Key, names: Path = _NAMES, devices: Path = Path("/dev/input")) -> None:
        self._code = settings.code
        path = devices / _find(settings.device, names)
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(self._file, _EVIOCGRAB, 1)
        except OSError as error:
            if error.errno == errno.EBUSY:
                os.close(self._file)
                raise OSError(f"{path}: another program has taken it for itself") from error

    def read(self, timeout_s: float) -> list[bool]:
        """Wait for changes; give them in order. Raises `OSError`: it was unplugged."""
        if not select.select([self._file], [], [], timeout_s)[0]:
            return []
        data = os.read(self._file, _BATCH * _RECORD.size)
        if not data:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return list(_changes(data, self._code))

    def close(self) -> None:
        """Give the device back."""
        os.close(self._file)


def _changes(data: bytes, code: int | None) -> list[bool]:
    changes = []
    whole = len(data) // _RECORD.size * _RECORD.size
    for _, _, kind, number, value in _RECORD.iter_unpack(data[:whole]):
        if (kind, number) == (_EV_SYN, _SYN_DROPPED):
            changes.append(False)  # the kernel lost events: perhaps the release
        elif kind == _EV_KEY and code in (None, number) and value in (_RELEASED, _PRESSED):
            changes.append(value == _PRESSED)
    return changes


def _find(pattern: str, names: Path) -> str:
    """Name the node of the first device whose name fits."""
    found = {}
    for path in sorted(names.glob("event*/device/name")):
        name = path.read_text(encoding="utf-8", errors="replace").strip()
        if fnmatchcase(name.lower(), pattern.lower()):
            return path.parents[1].name
        found[path.parents[1].name] = name
    there = ", ".join(f"'{name}'" for name in found.values()) or "none at all"
    raise OSError(f"no input device is named like '{pattern}'; there are: {there}")
