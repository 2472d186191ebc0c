"""A graph small enough to search by hand: every sentence is its own chain of nodes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.grammar.graph import Graph, Word
from agent.grammar.schema import Command

TOKENS = ("<blank>", "<noise>", "A", "B", "C", "D")

Spoken = tuple[Word, str]
"""A word and its sounds, one letter each."""


def chain_graph(sentences: Sequence[tuple[str, Sequence[Spoken]]]) -> Graph:
    """Build a graph from (command name, words) pairs."""
    names = list(dict.fromkeys(name for name, _ in sentences))
    label: list[int] = []
    source: list[int] = []
    first_arc = [0]
    starts: list[bool] = []
    word: list[int] = []
    final: list[int] = []
    words: list[Word] = []
    values: dict[tuple[str, str], dict[str, str | int | float]] = {}
    for name, spoken in sentences:
        position = 0
        slot_text: list[str] = []
        for entry, sounds in spoken:
            slot_text = [entry.text] if entry.opens else [*slot_text, entry.text]
            if entry.closes:
                values.setdefault((name, entry.closes), {})[" ".join(slot_text)] = " ".join(slot_text)
            for index, sound in enumerate(sounds):
                if position:
                    source.append(len(label) - 1)
                first_arc.append(len(source))
                starts.append(position == 0)
                label.append(TOKENS.index(sound))
                word.append(len(words) if index == len(sounds) - 1 else -1)
                final.append(-1)
                position += 1
            words.append(entry)
        final[-1] = names.index(name)
    return Graph(
        tokens=TOKENS,
        label=np.array(label, np.int32),
        first_arc=np.array(first_arc, np.int32),
        source=np.array(source, np.int32),
        starts=np.array(starts),
        word=np.array(word, np.int32),
        final=np.array(final, np.int32),
        words=tuple(words),
        commands=tuple(Command(name=name, sentences=("x",), topic="t") for name in names),
        slot_values=values,
    )


def speak(sounds: str, *, seed: int = 0, lead: int = 10, tail: int = 60) -> NDArray[np.float32]:
    """Make log-probabilities [T, V] of somebody saying `sounds`: a peak each, two blanks between.

    A space is a pause of 100 ms, `?` a sound that could be any.
    """
    rng = np.random.default_rng(seed)
    rows: list[int | None] = [0] * lead
    for sound in sounds:
        rows += [0] * 4 if sound == " " else [None if sound == "?" else TOKENS.index(sound), 0, 0]
    rows += [0] * tail
    logits = rng.normal(0, 0.5, (len(rows), len(TOKENS)))
    for frame, token in enumerate(rows):
        if token is not None:
            logits[frame, token] += 8.0
    log_probs: NDArray[np.float32] = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(
        np.float32
    )
    return log_probs
