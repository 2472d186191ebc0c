import time
from pathlib import Path

import psutil
import pytest

from agent.health import probes
from agent.health.probes import SystemProbe, clock_synchronized


def machine(root: Path, entries: dict[str, str]) -> Path:
    for name, text in entries.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_this_machine(tmp_path: Path) -> None:
    health = SystemProbe(tmp_path / "not" / "yet" / "there").read()
    assert 0 <= health.cpu_ratio <= 1
    assert 2**20 < health.process_resident_bytes < psutil.virtual_memory().total
    assert health.memory_available_bytes > 0
    assert health.disk_free_bytes == pytest.approx(psutil.disk_usage(str(tmp_path)).free, rel=0.1)


def test_a_disk_that_is_gone_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent asks ten times a second: an error here would end it, though it hears and commands without."""
    monkeypatch.setattr(probes, "MEASURE_EVERY_S", 0.0)
    state = tmp_path / "state"
    state.mkdir()
    probe = SystemProbe(state)
    assert probe.read().disk_free_bytes > 0
    state.rmdir()
    assert probe.read().disk_free_bytes == 0


def test_an_rk3568(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        {
            "sys/kernel/debug/rknpu/load": "NPU load:  37%\n",
            "sys/class/devfreq/fde40000.npu/cur_freq": "600000000\n",
            "sys/class/devfreq/fde60000.gpu/cur_freq": "200000000\n",
            "sys/class/thermal/thermal_zone0/type": "soc-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "48333\n",
            "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
            "sys/class/thermal/thermal_zone1/temp": "-1500\n",
        },
    )
    health = SystemProbe(tmp_path, root).read()
    assert health.npu_load_ratio == 0.37
    assert health.npu_frequency_hertz == 600e6
    assert health.temperature_celsius == {"soc-thermal": 48.333, "gpu-thermal": -1.5}


def test_the_busiest_of_several_cores_counts(tmp_path: Path) -> None:
    root = machine(tmp_path, {"proc/rknpu/load": "NPU load:  Core0:  5%, Core1: 91%, Core2:  0%,"})
    assert SystemProbe(tmp_path, root).read().npu_load_ratio == 0.91


def test_a_machine_without_an_npu_or_with_broken_entries(tmp_path: Path) -> None:
    root = machine(tmp_path, {"sys/class/thermal/thermal_zone0/temp": "n/a", "proc/rknpu/load": "?"})
    (root / "sys/class/devfreq/x.npu/cur_freq").mkdir(parents=True)
    health = SystemProbe(tmp_path, root).read()
    assert (health.npu_load_ratio, health.npu_frequency_hertz, health.temperature_celsius) == (None, None, {})


def test_a_step_of_the_clock_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MEASURE_EVERY_S", 0.0)
    probe = SystemProbe(tmp_path)
    assert probe.read().clock_steps_total == 0
    now_s = time.time() - 3600
    monkeypatch.setattr(time, "time", lambda: now_s)
    assert probe.read().clock_steps_total == 1
    assert probe.read().clock_steps_total == 1


def test_clock_is_asked_of_the_kernel() -> None:
    assert clock_synchronized() in (True, False, None)
