"""The parts of a running station, built from its settings: what listens, and what it listens for."""

import contextlib
import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path

import numpy as np
import structlog

from agent.acoustics.bundle import Bundle, load_bundle
from agent.acoustics.engines.choose import ChosenEngine, EngineChoice
from agent.acoustics.memory import give_back
from agent.audio.file import read_audio, read_blocks
from agent.audio.microphone import Microphone
from agent.audio.pcm import PcmPipe
from agent.audio.playback import Playback
from agent.audio.source import SAMPLE_RATE_HZ, AudioSource
from agent.commands.fit import require_fit
from agent.errors import VoxlineError
from agent.evaluation.golden import find_golden
from agent.evaluation.listening import Ear
from agent.grammar import compile_grammar, load_grammar
from agent.grammar.fault import refuse_errors
from agent.grammar.graph import Graph
from agent.grammar.homophones import same_sounds
from agent.grammar.schema import BUILTIN, Grammar
from agent.health.selftest import Script, Utterance
from agent.recognition.listener import Listener
from agent.recognition.recognizer import Recognizer
from agent.settings import AudioFile, Settings
from agent.settings import Microphone as MicrophoneSettings

LARGE_BYTES = 256 * 1024
"""Memory blocks from this size on go back to the system when they are free."""
SILENCE_AFTER_S = 2.0
"""Longer than anything waits for the rest of a sentence: a recording may end with its last word."""
TEST_UTTERANCES = 3
"""Of the golden set; the first that is understood ends a self-test."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A grammar, ready to be listened for."""

    grammar: Grammar
    graph: Graph
    version: str
    """name@content hash"""

    @property
    def required_states(self) -> frozenset[str]:
        """Names of the machine states that commands require."""
        commands = self.grammar.commands.values()
        return frozenset(condition.state for command in commands for condition in command.requires)


def open_source(settings: Settings) -> AudioSource:
    """Open what the settings name as the source of sound.

    Raises:
        AudioError: a recording cannot be read, or the microphone's library is missing. An absent microphone
            is no error: it is waited for.
    """
    audio = settings.audio
    if isinstance(audio, AudioFile):
        silence = np.zeros(round(SILENCE_AFTER_S * SAMPLE_RATE_HZ), np.int16)
        return Playback(chain(read_blocks(audio.path), [silence]), real_time=True)
    if isinstance(audio, MicrophoneSettings):
        return Microphone(audio.device)
    return PcmPipe()


def load_vocabulary(path: Path, bundle: Bundle, cache: Path) -> Vocabulary:
    """Read and compile a grammar for a bundle.

    Raises:
        GrammarError: it has faults, says two things by the same sounds, or needs sounds that the bundle does
            not know.
    """
    grammar = load_grammar(path)
    graph = compile_grammar(grammar, bundle.manifest.tokens, cache)
    refuse_errors(same_sounds(grammar, graph))
    return Vocabulary(grammar, graph, f"{grammar.name}@{sha256(path.read_bytes()).hexdigest()[:12]}")


class Ears:
    """A bundle and its engine; makes listeners.

    Args:
        settings: name the bundle, the engine and the grammar.
        announce: called with every choice of engine, see `ChosenEngine`.

    Raises:
        BundleError: the bundle is damaged or does not fit.
        EngineError: the engine that the settings insist on cannot start.
    """

    def __init__(self, settings: Settings, announce: Callable[[EngineChoice], None]) -> None:
        recognition = settings.recognition
        _keep_heap_small()
        self.bundle = load_bundle(recognition.bundle)
        self.engine = ChosenEngine(self.bundle, recognition.engine, announce)
        give_back()
        self._calibration = self.bundle.manifest.operating_points.at(recognition.operating_point)
        self._commands = settings.commands
        self._cache = settings.storage.grammars
        self.grammar_file = recognition.grammar
        self.grammar_changed = FileWatch(self.grammar_file)  # before it is read
        self.script = self._self_test_script()
        """What a self-test says; None: the bundle holds nothing that it could."""

    @property
    def version(self) -> str:
        """Name and version, joined by @."""
        return f"{self.bundle.manifest.name}@{self.bundle.manifest.version}"

    def load_vocabulary(self) -> Vocabulary:
        """Read the grammar that the settings name as it is now.

        Raises:
            GrammarError: as of the function `load_vocabulary`, or of `require_fit`.
        """
        vocabulary = load_vocabulary(self.grammar_file, self.bundle, self._cache)
        require_fit(self._commands, vocabulary.grammar)
        return vocabulary

    def listener(self, vocabulary: Vocabulary) -> Listener:
        """Return a listener with a stream of its own."""
        return self._ear(vocabulary).listener()

    def recognizer(self, vocabulary: Vocabulary) -> Recognizer:
        """Return a recognizer for a vocabulary, to be put into a listener."""
        return self._ear(vocabulary).recognizer()

    def _ear(self, vocabulary: Vocabulary) -> Ear:
        return Ear(self.bundle, self.engine, vocabulary.graph, self._calibration)

    def _self_test_script(self) -> Script | None:
        """Read the first utterances of the bundle's golden set; without one the station hears as well."""
        try:
            golden = find_golden(self.bundle.folder)
            if golden is None:
                return None
            spoken = [item for item in golden.labels.items() if not item[1].command.startswith(BUILTIN)]
            utterances = [
                Utterance(file, read_audio(golden.folder / file), label)
                for file, label in spoken[:TEST_UTTERANCES]
            ]
            graph = compile_grammar(golden.grammar, self.bundle.manifest.tokens, self._cache)
        except VoxlineError as error:
            log.error("no_self_test", reason=str(error))  # noqa: TRY400 - the reason says it all
            return None
        return (
            Script(utterances, graph, self._calibration, self.bundle.manifest.frame_s) if utterances else None
        )


class FileWatch:
    """Tells, once for each, that a file was changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._look()

    def __call__(self) -> bool:
        """Tell whether the file was changed since the last call."""
        found = self._look()
        changed = found is not None and found != self._seen
        self._seen = found or self._seen
        return changed

    def _look(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None  # being replaced: look again soon
        return status.st_mtime_ns, status.st_ino


def _keep_heap_small() -> None:
    """Let glibc give every large block back as soon as it is free.

    By itself it raises the limit from which it does so up to 32 MB, and keeps the engine's freed tensors:
    70 MB after 20 s of speech.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL("libc.so.6")
        for parameter in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            library.mallopt(parameter, LARGE_BYTES)
