"""The model is exchanged while somebody speaks: no frame is lost, no command is half heard or heard twice."""

from pathlib import Path

from tests.integration.booth import require_bundle
from tests.updates.load import folder_settings, speak_and_exchange

require_bundle()


def test_speech_goes_on(tmp_path: Path) -> None:
    report = speak_and_exchange(folder_settings(tmp_path), clips=4, every_s=1.0)
    assert report.exchanges >= 5
    assert report.frames_heard == report.frames_given
    assert report.understood == report.said
