"""`voxline audio`: which devices there are, and what they hear."""

import json
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.audio.file import read_blocks
from agent.audio.levels import LevelMeter, advice
from agent.audio.microphone import Microphone
from agent.audio.playback import Playback
from agent.audio.portaudio import ANY, Device, portaudio
from agent.audio.source import AudioSource
from agent.audio.stuck import Stuck, StuckDetector
from agent.options import Json

app = typer.Typer(help="Microphones, loudspeakers, levels.", no_args_is_help=True)

_REFRESH_S = 0.2
_REPORT_S = 1.0
_BAR = 40


@app.command()
def devices(*, as_json: Json = False) -> None:
    """List sound devices by the names that settings choose them by. Exit status 1 if none can be heard."""
    found = portaudio().devices()
    if as_json:
        typer.echo(json.dumps([asdict(device) for device in found], indent=2, ensure_ascii=False))
    else:
        for kind, channels in (("Inputs", "inputs"), ("Outputs", "outputs")):
            fitting = [device for device in found if getattr(device, channels)]
            typer.echo(f"{kind}:{'' if fitting else ' none'}")
            for device in fitting:
                typer.echo(_line(device, is_output=channels == "outputs"))
    if not any(device.inputs for device in found):
        raise typer.Exit(1)


@app.command()
def levels(
    device: Annotated[
        str, typer.Option(help="Pattern of the microphone's name, as in the settings: '*USB*'.")
    ] = ANY,
    file: Annotated[
        Path | None, typer.Option(help="Measure a recording instead, as if it were heard.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after so long.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show level, noise and SNR live, and say what to change, until ^C or for --seconds.

    JSON is one object a second; text that no terminal shows is a line a second.
    """
    source = Playback(read_blocks(file), real_time=True) if file else Microphone(device)
    monitor = _Monitor(source)
    end_s = time.monotonic() + seconds if seconds else float("inf")
    period_s = _REFRESH_S if sys.stdout.isatty() and not as_json else _REPORT_S
    try:
        while monitor.listening and time.monotonic() < end_s:
            monitor.wait(min(period_s, end_s - time.monotonic()))
            typer.echo(json.dumps(monitor.report()) if as_json else _meter(monitor), nl=as_json)
    except KeyboardInterrupt:
        pass
    finally:
        source.close()
    if not as_json:
        typer.echo()
    if monitor.error is not None:
        raise monitor.error
    if not monitor.heard:
        raise typer.Exit(1)


class _Monitor:
    """Listens in a thread, so that a silent or lost source can still be shown."""

    def __init__(self, source: AudioSource) -> None:
        self._source = source
        self._meter = LevelMeter()
        self._stuck = StuckDetector()
        self.levels = self._meter.levels()
        self.heard = False
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._listen, name="levels", daemon=True)
        self._thread.start()

    @property
    def listening(self) -> bool:
        return self._thread.is_alive()

    def wait(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def trouble(self) -> str | None:
        """Why nothing useful is heard, from the device up."""
        if isinstance(self._source, Microphone) and (reason := self._source.state.reason):
            return f"no microphone: {reason}"
        finding = self._stuck.finding(time.monotonic())
        return f"stuck: {finding}" if finding and finding is not Stuck.SILENT else advice(self.levels)

    def report(self) -> dict[str, Any]:
        microphone = self._source if isinstance(self._source, Microphone) else None
        return {
            **asdict(self.levels),
            "device": microphone.state.device if microphone else None,
            "overruns": microphone.overruns if microphone else 0,
            "stuck": self._stuck.finding(time.monotonic()),
            "advice": self.trouble(),
        }

    def _listen(self) -> None:
        try:
            for frame in self._source.frames():
                self._meter.update(frame.samples)
                self._stuck.update(frame.samples, time.monotonic())
                self.levels = self._meter.levels()
                self.heard = True
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            self.error = error


def _line(device: Device, *, is_output: bool) -> str:
    channels = device.outputs if is_output else device.inputs
    default = device.is_default_output if is_output else device.is_default_input
    return f"  {device.name}   {channels} ch, {device.rate_hz} Hz{'   (default)' if default else ''}"


def _meter(monitor: _Monitor) -> str:
    now = monitor.levels
    bar = "#" * round(_BAR * max(0.0, 1 + now.rms_dbfs / 60))
    text = (
        f"[{bar:<{_BAR}}] {now.rms_dbfs:6.1f} dBFS  peak {now.peak_dbfs:6.1f}  "
        f"noise {now.noise_floor_dbfs:6.1f}  SNR {now.snr_db:5.1f} dB  {monitor.trouble() or 'good'}"
    )
    return f"\r\033[K{text}" if sys.stdout.isatty() else f"{text}\n"
