"""The recognizers that Voxline is compared with, each used as its makers mean it to be used."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.grammar.lexicon import Lexicon


@dataclass(frozen=True, slots=True)
class Transcript:
    """What an engine says of a recording."""

    text: str
    """Its best guess, even where it refuses."""
    refused: bool
    """Whether the engine itself, at its defaults, takes nothing for said."""


class Peer(Protocol):
    """A recognizer of whole recordings."""

    @property
    def identity(self) -> str:
        """Everything that its answers depend on, but the sound."""

    def hear(self, samples: NDArray[np.int16]) -> Transcript:
        """Recognize a recording of 16 kHz, shape [n]."""


class PocketSphinx:
    """PocketSphinx, its English model, and a JSGF grammar.

    Its own dictionary, with the words that it lacks added as Voxline says them. The whole recording is given
    at once, which lets it normalize over all of it. Where no sentence is complete at the end it answers
    nothing, or the beginning of one.
    """

    def __init__(self, jsgf: str, words: Iterable[str], lexicon: Lexicon) -> None:
        import pocketsphinx

        self.identity = f"pocketsphinx {version('pocketsphinx')} {jsgf}"
        self._decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
        missing = sorted(word for word in words if self._decoder.lookup_word(word) is None)
        for word in missing:
            for number, sounds in enumerate(lexicon[word].variants, 1):
                name = word if number == 1 else f"{word}({number})"
                self._decoder.add_word(name, " ".join(sounds), update=False)
        self._decoder.add_jsgf_string("grammar", jsgf)
        self._decoder.activate_search("grammar")

    def hear(self, samples: NDArray[np.int16]) -> Transcript:
        """See `Peer`."""
        decoder = self._decoder
        decoder.start_utt()
        decoder.process_raw(samples.tobytes(), full_utt=True)
        begun = decoder.hyp()
        decoder.end_utt()
        complete = decoder.hyp()
        said = complete or begun
        return Transcript(said.hypstr if said else "", complete is None)


class Moonshine:
    """Moonshine tiny: text without a grammar.

    Its own voice activity detector is off: in noise it cuts sentences to pieces, and more of them come out
    right with the whole recording at once. It has no rejection but to say nothing.
    """

    def __init__(self) -> None:
        import moonshine_voice
        from moonshine_voice.moonshine_api import ModelArch
        from moonshine_voice.transcriber import Transcriber

        self.identity = f"moonshine-voice {version('moonshine-voice')} tiny-en vad_threshold=0"
        model = Path(moonshine_voice.__file__).parent / "assets/tiny-en"
        self._transcriber = Transcriber(model, ModelArch.TINY, options={"vad_threshold": 0.0})

    def hear(self, samples: NDArray[np.int16]) -> Transcript:
        """See `Peer`."""
        heard = self._transcriber.transcribe_without_streaming((samples / np.float32(32768)).tolist())
        text = " ".join(line.text for line in heard.lines).strip()
        return Transcript(text, not text)
