"""Text read aloud by espeak-ng, where it is installed: small, quick, and of many languages."""

import io
import subprocess

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from agent.errors import AudioError

PROGRAM = "espeak-ng"
_VOICES = {"en": "en-us", "zh": "cmn"}
_WORDS_PER_MINUTE = "150"
_TIMEOUT_S = 5.0
_LONGEST = 300
"""Letters that are read at most."""


def speak(text: str, language: str, rate_hz: int) -> NDArray[np.int16]:
    """Render a line: mono, shape [n], at `rate_hz`.

    Args:
        text: any; it is no argument of the program and no markup.
        language: of the grammar, `en` or `zh`.
        rate_hz: of the loudspeaker.

    Raises:
        AudioError: the program is missing, fails or takes too long.
    """
    command = [PROGRAM, "-v", _VOICES[language], "-s", _WORDS_PER_MINUTE, "--stdin", "--stdout"]
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the text is no argument
            command, input=text[:_LONGEST].encode(), capture_output=True, check=True, timeout=_TIMEOUT_S
        )
        samples, spoken_hz = soundfile.read(io.BytesIO(done.stdout), dtype="int16")
    except FileNotFoundError as error:
        raise AudioError(f"{PROGRAM} is not installed: apt-get install {PROGRAM}") from error
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        raise AudioError(f"{PROGRAM} said nothing: {error}") from error
    return np.asarray(soxr.resample(samples, spoken_hz, rate_hz), np.int16)
