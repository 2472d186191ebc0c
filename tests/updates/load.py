"""A station that listens in real time while its model is exchanged again and again."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.audio.file import read_audio
from agent.audio.playback import Playback
from agent.audio.source import FRAME_S, FRAME_SAMPLES, Frame
from agent.evaluation.commands import Label, read_labels
from agent.evaluation.listening import in_room
from agent.hearing import Heard, Hearing
from agent.recognition.hypothesis import Hypothesis
from agent.recognition.listener import Listener
from agent.settings import Settings
from agent.station import Ears
from tests.integration.booth import GOLDEN


class Timed(Playback):
    """Notes how late each frame was done with."""

    def frames(self) -> Iterator[Frame]:
        self.late_s: list[float] = []
        for frame in super().frames():
            yield frame
            self.late_s.append(time.monotonic() - frame.time_s - FRAME_S)


@dataclass(frozen=True)
class Report:
    """What became of speech under exchanges."""

    frames_given: int
    frames_heard: int
    exchanges: int
    said: list[tuple[str, dict[str, str | int | float]]]
    understood: list[tuple[str, dict[str, object]]]
    late_p50_s: float
    late_max_s: float


def speak_and_exchange(settings: Settings, clips: int, every_s: float | None) -> Report:
    """Say golden utterances in real time; exchange the model every so often, also in the middle of words."""
    labels: dict[str, Label] = dict(list(read_labels(GOLDEN / "labels.json").items())[:clips])
    scenes = [in_room(read_audio(GOLDEN / file), None, None, seed=n) for n, file in enumerate(labels)]
    ears = Ears(settings, lambda _: None)
    vocabulary = ears.load_vocabulary()
    heard: list[Heard] = []
    source = Timed(scenes, real_time=True)
    hearing = Hearing(source, ears.listener(vocabulary), heard.append)
    exchanges, over = [], threading.Event()

    def exchange() -> None:
        while every_s and not over.wait(every_s):
            new = Ears(settings, lambda _: None)  # as an update does: loaded aside, in another thread
            fresh = new.listener(new.load_vocabulary())

            def alter(listener: Listener, fresh: Listener = fresh) -> None:
                heard.extend(listener.exchange(fresh.stream, fresh.recognizer))
                exchanges.append(time.monotonic())

            hearing.change(alter)

    thread = threading.Thread(target=exchange)
    hearing.start()
    thread.start()
    hearing._thread.join()
    over.set()
    thread.join()
    return Report(
        frames_given=-(-sum(map(len, scenes)) // FRAME_SAMPLES),
        frames_heard=hearing.frames_total,
        exchanges=len(exchanges),
        said=[(label.command, label.slots) for label in labels.values()],
        understood=[
            (str(h.command), dict(h.slots)) for h in heard if isinstance(h, Hypothesis) and h.reject is None
        ],
        late_p50_s=float(np.median(source.late_s)),
        late_max_s=max(source.late_s),
    )


def folder_settings(folder: Path) -> Settings:
    from tests.integration.booth import station_settings

    return station_settings(1883, folder)
