"""A private PulseAudio daemon: its null sink is a cable that one plays into and PortAudio hears."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

MICROPHONE = "voxline_microphone"
_ALSA = f"""
pcm.{MICROPHONE} {{
  type pulse
  device "cable.monitor"
}}
"""
_DAEMON = (
    "pulseaudio -n --daemonize=no --exit-idle-time=-1 --use-pid-file=no --disable-shm=yes --log-level=error"
)


def require_pulseaudio() -> None:
    """Skip the calling test module where the real sound path cannot be built."""
    pytest.importorskip("pyaudio", reason="PyAudio is not installed: pip install 'voxline[mic]'")
    missing = [program for program in ("pulseaudio", "pactl", "pacat") if shutil.which(program) is None]
    plugin = [*Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")]
    if missing or not plugin:
        what = ", ".join(missing) or "the PulseAudio plugin of ALSA"
        pytest.skip(
            f"no {what}: apt-get install pulseaudio pulseaudio-utils libasound2-plugins",
            allow_module_level=True,
        )


class Pulse:
    """A daemon whose `cable` is plugged in and out at will; paused, killed and started again, too."""

    def __init__(self, home: Path) -> None:
        self._home = home
        config = home / "asound.conf"
        config.write_text(_ALSA)
        self._socket = home / "native"
        self._script = home / "default.pa"
        self._script.write_text(
            f"load-module module-native-protocol-unix socket={self._socket} auth-anonymous=1\n"
        )
        self.environment = {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "PULSE_RUNTIME_PATH": str(home / "pulse"),
            "PULSE_SERVER": f"unix:{self._socket}",
            "ALSA_CONFIG_PATH": f"/usr/share/alsa/alsa.conf:{config}",
        }
        self.start()

    def start(self) -> None:
        """Start the daemon, with the cable plugged in."""
        log = self._home / "pulse.log"
        with log.open("ab") as output:
            self._daemon = subprocess.Popen(
                [*_DAEMON.split(), "-F", str(self._script)],
                env=os.environ | self.environment,
                stdout=output,
                stderr=output,
            )
        deadline_s = time.monotonic() + 20
        while not self._socket.exists():
            assert self._daemon.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, "pulseaudio does not come up"
            time.sleep(0.05)
        self.plug()

    def stop(self) -> None:
        """Stop the daemon; everything that plays or listens through it dies."""
        self._daemon.terminate()
        self._daemon.wait(timeout=20)
        self._hum.wait(timeout=20)
        self._socket.unlink(missing_ok=True)

    def plug(self) -> None:
        """Plug the microphone in."""
        self._module = self.pactl(
            "load-module", "module-null-sink", "sink_name=cable", "rate=48000", "channels=1"
        )
        # An idle null sink sleeps for 2 s at a time; a microphone never does.
        self._hum = self._pacat(
            "--playback", "--device=cable", "--rate=48000", "--latency-msec=20", "/dev/zero"
        )

    def unplug(self) -> None:
        """Pull it out: streams on it die."""
        self.pactl("unload-module", self._module)
        self._hum.wait(timeout=20)

    def freeze(self) -> None:
        """Stop the daemon where it stands."""
        self._daemon.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._daemon.send_signal(signal.SIGCONT)

    def pactl(self, *arguments: str) -> str:
        """Ask the daemon."""
        return subprocess.run(
            ["pactl", *arguments],
            env=os.environ | self.environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
        ).stdout.strip()

    def play(self, samples: NDArray[np.int16]) -> "subprocess.Popen[bytes]":
        """Start to play 16 kHz mono into the cable, with half a second of silence before and after."""
        with tempfile.NamedTemporaryFile(dir=self._home, suffix=".raw", delete=False) as recording:
            np.pad(samples, (8_000, 8_000)).tofile(recording)
        return self._pacat(
            "--playback", "--device=cable", "--rate=16000", "--latency-msec=500", recording.name
        )

    def _pacat(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            ["pacat", "--format=s16le", "--channels=1", "--raw", *arguments],
            env=os.environ | self.environment,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def running_pulse(home: Path) -> Iterator[Pulse]:
    """Run a daemon under `home`, with the cable plugged in, and point this process's ALSA at it."""
    pulse = Pulse(home)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in pulse.environment.items():
                patch.setenv(name, value)
            yield pulse
    finally:
        pulse.stop()
