"""The recognizers that Voxline is compared with, each used as its makers mean it to be used."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.audio.source import SAMPLE_RATE_HZ
from agent.grammar.lexicon import Lexicon
from agent.grammar.sentences import Sentences


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
    """PocketSphinx, its English model, and a grammar as its finite-state grammar, which it makes of JSGF too.

    JSGF itself is not written: PocketSphinx copies a rule wherever its name stands, so that parts in any
    order take many times the states, and the time. Its own dictionary, with the words that it lacks added as
    Voxline says them. Its own endpointer takes off the room before and after, and the rest is given at once:
    it normalizes over all that it is given, and with silence in it speech is taken for other speech. Where no
    sentence is complete at the end it answers nothing, or the beginning of one.
    """

    SETTINGS: ClassVar[Mapping[str, float | bool]] = {
        "bestpath": False,  # the second search, in the lattice, ends where no sentence ends
        "lw": 3.0,
        "wip": 0.01,
        "silprob": 0.1,
        "fillprob": 0.01,
    }
    VAD_MODE = 3  # of 0 to 3, the one that takes least for speech
    """What differs from its defaults; chosen on each eighth order, clean and at 12 dB."""

    def __init__(self, sentences: Sentences, lexicon: Lexicon) -> None:
        import pocketsphinx

        self._segmenter = pocketsphinx.Segmenter
        self._decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL", **self.SETTINGS)
        start, arcs = transitions(sentences)
        added = {}
        for word in sorted({arc[3] for arc in arcs if len(arc) > 3}):
            if self._decoder.lookup_word(word) is None:
                added[word] = [" ".join(sounds) for sounds in lexicon[word].variants]
                for number, sounds in enumerate(added[word], 1):
                    name = word if number == 1 else f"{word}({number})"
                    self._decoder.add_word(name, sounds, update=False)
        self._decoder.add_fsg("grammar", self._decoder.create_fsg("grammar", start, FINAL, arcs))
        self._decoder.activate_search("grammar")
        self.identity = (
            f"pocketsphinx {version('pocketsphinx')} {self.SETTINGS} {self.VAD_MODE} {added} {start} {arcs}"
        )

    def hear(self, samples: NDArray[np.int16]) -> Transcript:
        """See `Peer`."""
        decoder, spoken = self._decoder, self._trimmed(samples)
        if not len(spoken):
            return Transcript("", refused=True)
        decoder.start_utt()
        decoder.process_raw(spoken.tobytes(), full_utt=True)
        begun = decoder.hyp()
        decoder.end_utt()
        complete = decoder.hyp()
        said = complete or begun
        return Transcript(said.hypstr if said else "", complete is None)

    def _trimmed(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        segments = list(self._segmenter(vad_mode=self.VAD_MODE).segment(BytesIO(samples.tobytes())))
        if not segments:
            return samples[:0]
        return samples[
            round(segments[0].start_time * SAMPLE_RATE_HZ) : round(segments[-1].end_time * SAMPLE_RATE_HZ)
        ]


FINAL = 0
"""The state of PocketSphinx's grammar in which sentences end."""

Transition = tuple[int, int, float] | tuple[int, int, float, str]
"""From, to, probability, and the word that is said on the way, if any."""


def transitions(sentences: Sentences) -> tuple[int, list[Transition]]:
    """Return the automaton of a grammar as PocketSphinx takes it: its start and its transitions.

    Whatever may come next is equally likely, as between the alternatives of a JSGF rule.
    """
    automata, found = sentences.automata, list[Transition]()
    number = {state: index for index, state in enumerate(automata.reachable(sentences.start), FINAL + 1)}
    for state, own in number.items():
        # words that open or close a slot differently are one word to hear
        said = dict.fromkeys(
            (sentences.words[symbol].text, target) for symbol, target in automata.arcs[state]
        )
        ends = automata.outcomes[state] >= 0
        share = 1 / max(1, len(said) + ends)
        found += [(own, number[target], share, word) for word, target in said]
        found += [(own, FINAL, share)] if ends else []
    return number[sentences.start], found


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
