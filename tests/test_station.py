from pathlib import Path

import numpy as np
import pytest
import soundfile

from agent.acoustics.bundle import load_bundle
from agent.audio.file import read_audio
from agent.audio.source import SAMPLE_RATE_HZ
from agent.errors import GrammarError
from agent.settings import AudioFile
from agent.station import Ears, load_vocabulary, open_source
from tests.integration.booth import BUNDLE, GOLDEN, require_bundle, station_settings

require_bundle()
WHEEL = """name: wheel
commands:
  turn:
    sentences: [right the wheel now]
    topic: turn
  log:
    sentences: [write the wheel now]
    topic: log
    requires: [{state: log/open, equals: true}]
"""


def test_no_station_listens_for_two_commands_by_the_same_sounds(tmp_path: Path) -> None:
    """Where one of them is not possible now, the other would be heard for it."""
    grammar = tmp_path / "wheel.yaml"
    bundle = load_bundle(BUNDLE)
    grammar.write_text(WHEEL)
    with pytest.raises(GrammarError, match=r"wheel.yaml:4:.*same sounds mean `log`.*and `turn`"):
        load_vocabulary(grammar, bundle, tmp_path)
    grammar.write_text(WHEEL.replace("write the wheel", "log the wheel"))
    load_vocabulary(grammar, bundle, tmp_path)


def test_a_recording_may_end_with_its_last_word(tmp_path: Path) -> None:
    said = read_audio(GOLDEN / "28-what-is-the-status.opus")
    loud = np.flatnonzero(np.abs(said) > 300)
    file = tmp_path / "stop.wav"
    soundfile.write(file, said[loud[0] : loud[-1]], SAMPLE_RATE_HZ)
    settings = station_settings(1, tmp_path, audio=AudioFile(type="file", path=file))
    ears = Ears(settings, lambda _: None)
    listener = ears.listener(ears.load_vocabulary())
    frames = open_source(settings).frames()
    heard = [each for frame in frames for each in listener.hear(frame.samples, frame.time_s)]
    ears.engine.close()
    assert [(each.command, each.reject) for each in heard] == [("status", None)]
