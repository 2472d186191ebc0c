"""Ask the machine how it is. Names in sysfs vary between kernels, so they are looked for by pattern."""

import ctypes
import re
import time
from pathlib import Path

import psutil

from agent.health.snapshot import SystemHealth

MEASURE_EVERY_S = 5.0
CLOCK_STEP_S = 1.0
_TIME_ERROR = 5
"""What adjtimex(2) answers while nothing has synchronized the clock."""
_TIMEX_BYTES = 512
"""More than sizeof(struct timex) on every Linux."""


class SystemProbe:
    """Reads the state of the machine.

    Args:
        state: directory whose disk matters; the nearest one above it that exists is measured.
        root: where /sys and /proc of the machine are; another one in tests.

    """

    def __init__(self, state: Path, root: Path = Path("/")) -> None:
        self._disk = next(folder for folder in (state, *state.absolute().parents) if folder.exists())
        self._root = root
        self._process = psutil.Process()
        self._clock_offset_s = time.time() - time.monotonic()
        self._clock_steps = 0
        psutil.cpu_percent()  # the first call only sets the start of the measured interval
        self._latest = self._measure()
        self._measured_s = time.monotonic()

    def read(self) -> SystemHealth:
        """Tell how the machine is; measured anew where the last measurement is older than 5 s."""
        now_s = time.monotonic()
        if now_s - self._measured_s >= MEASURE_EVERY_S:
            self._measured_s = now_s
            self._latest = self._measure()
        return self._latest

    def _measure(self) -> SystemHealth:
        offset_s = time.time() - time.monotonic()
        if abs(offset_s - self._clock_offset_s) > CLOCK_STEP_S:
            self._clock_steps += 1
        self._clock_offset_s = offset_s
        return SystemHealth(
            cpu_ratio=psutil.cpu_percent() / 100,
            process_resident_bytes=self._process.memory_info().rss,
            memory_available_bytes=psutil.virtual_memory().available,
            disk_free_bytes=self._disk_free(),
            npu_load_ratio=self._npu_load(),
            npu_frequency_hertz=self._number("sys/class/devfreq/*npu*/cur_freq"),
            temperature_celsius=self._temperatures(),
            clock_synchronized=clock_synchronized(),
            clock_steps_total=self._clock_steps,
        )

    def _disk_free(self) -> int:
        """Tell how much room there is; a disk that fails or is gone has none, and the rest goes on."""
        try:
            return psutil.disk_usage(str(self._disk)).free
        except OSError:
            return 0

    def _npu_load(self) -> float | None:
        """Read `NPU load:  37%`; of several cores the busiest counts."""
        for pattern in ("proc/rknpu/load", "sys/kernel/debug/rknpu/load"):
            for path in self._root.glob(pattern):
                if shares := re.findall(r"(\d+)\s*%", _read(path)):
                    return max(map(int, shares)) / 100
        return None

    def _number(self, pattern: str) -> float | None:
        for path in sorted(self._root.glob(pattern)):
            if (text := _read(path)).isdigit():
                return float(text)
        return None

    def _temperatures(self) -> dict[str, float]:
        zones = {}
        for zone in sorted(self._root.glob("sys/class/thermal/thermal_zone*")):
            millidegrees = _read(zone / "temp")
            if re.fullmatch(r"-?\d+", millidegrees):
                zones[_read(zone / "type") or zone.name] = int(millidegrees) / 1000
        return zones


def clock_synchronized() -> bool | None:
    """Tell whether the kernel's clock is disciplined by NTP or PTP; None where that cannot be asked."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = ctypes.CDLL(None).adjtimex(timex)
    return None if state < 0 else bool(state != _TIME_ERROR)


def _read(path: Path) -> str:
    """Text of a sysfs entry, empty where it is missing, forbidden or its driver fails."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
