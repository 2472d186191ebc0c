"""What hearing through PulseAudio, PortAudio and PyAudio costs, and what is lost when the machine is busy."""

import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pytest

from agent.audio import microphone as microphone_module
from tests.audio.blocks import follows
from tests.integration.brokers import eventually
from tests.integration.listening import listening
from tests.integration.pulse import require_pulseaudio, running_pulse

_SECONDS = 10
_BURN = "while True: sum(range(100_000))"


def run() -> dict[str, object]:
    """Measure at the model's rate and at a rate that needs resampling; the second also under full load."""
    try:
        require_pulseaudio()
    except pytest.skip.Exception as skipped:
        return {"skipped": str(skipped)}
    with tempfile.TemporaryDirectory() as home, running_pulse(Path(home)):
        return {
            "native_16k": _measure(16_000, burners=0),
            "native_48k": _measure(48_000, burners=0),
            "native_48k_under_load": _measure(48_000, burners=2 * (os.cpu_count() or 1)),
        }


def _measure(rate_hz: int, *, burners: int) -> dict[str, object]:
    load = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(burners)]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(microphone_module, "_RATES_HZ", (rate_hz,))
            with listening() as listener:
                assert eventually(lambda: len(listener.frames) > 200)
                first, cpu_s, start_s = len(listener.frames), time.process_time(), time.monotonic()
                time.sleep(_SECONDS)
                cpu_s, elapsed_s = time.process_time() - cpu_s, time.monotonic() - start_s
                frames = listener.frames[first:]
                late_s = [
                    a - f.time_s - 0.01 for a, f in zip(listener.arrived_s[first:], frames, strict=False)
                ]
                return {
                    "cpu_percent_of_one_core": round(100 * cpu_s / elapsed_s, 2),
                    "frames_per_s": round(len(frames) / elapsed_s, 2),
                    "overruns": listener.microphone.overruns,
                    "gaps": sum(not follows(later, earlier) for earlier, later in pairwise(frames)),
                    "delay_ms_p50": round(1000 * sorted(late_s)[len(late_s) // 2], 1),
                    "delay_ms_max": round(1000 * max(late_s), 1),
                }
    finally:
        for process in load:
            process.kill()
            process.wait()
