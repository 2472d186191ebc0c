"""Search on 3 s of speech-like posteriors, against Kaldi's decoder, as the grammar grows."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from agent.acoustics.stream import log_softmax
from agent.grammar import compile_grammar
from agent.grammar.graph import Graph
from agent.recognition.decoder import Decoder
from agent.recognition.network import Network, build_network
from models.recipe.tokens import TOKENS
from tests.grammars.sized import grammar_of
from tests.recognition import kaldi

SIZES = (100, 1_000, 10_000, 100_000)
BLANK_PENALTY, LOOP_PENALTY, ENTRY_PENALTY = 3.0, 4.0, 0.0
SECONDS, FRAME_S = 3.0, 0.024


def run() -> dict[str, object]:
    """Measure compile time, search time and Kaldi's search time for each size."""
    results = []
    for size in SIZES:
        grammar = grammar_of(size)
        compile_s = _best_of(3, partial(compile_grammar, grammar, TOKENS))
        graph = compile_grammar(grammar, TOKENS)
        network = build_network(graph)
        frames = _speech(graph)
        ours_s = _best_of(5, partial(_search, network, frames))
        fst = kaldi.to_fst(network, LOOP_PENALTY, ENTRY_PENALTY)
        emissions = kaldi.emissions(frames, BLANK_PENALTY)
        theirs_s = _best_of(5, partial(kaldi.best_path, fst, emissions, beam=40.0))
        results.append(
            {
                "sentences": size,
                "nodes": len(graph.label),
                "compile_ms": round(1000 * compile_s, 1),
                "search_ms": round(1000 * ours_s, 2),
                "kaldi_search_ms": round(1000 * theirs_s, 2),
                "kaldi_over_ours": round(theirs_s / ours_s, 3),
            }
        )
    return {"speech_seconds": SECONDS, "sizes": results}


def _search(network: Network, frames: NDArray[np.float32]) -> None:
    decoder = Decoder(
        network, blank_penalty=BLANK_PENALTY, loop_penalty=LOOP_PENALTY, entry_penalty=ENTRY_PENALTY
    )
    for frame in frames:
        decoder.step(frame)
        next(decoder.finishes(), None)


def _speech(graph: Graph) -> NDArray[np.float32]:
    """A sentence of the grammar, pronounced without hurry, in posteriors as doubtful as a noisy hall's."""
    rng = np.random.default_rng(0)
    node, sounds = int(rng.choice(np.flatnonzero(graph.starts))), []
    while True:
        sounds.append(int(graph.label[node]))
        arcs = np.flatnonzero(graph.source == node)
        if not len(arcs):
            break
        node = int(np.searchsorted(graph.first_arc, rng.choice(arcs), side="right")) - 1
    frames = round(SECONDS / FRAME_S)
    logits = rng.normal(0, 2, (frames, len(graph.tokens)))
    logits[:, 0] += 6
    for position, sound in zip(np.linspace(5, frames - 10, len(sounds)).astype(int), sounds, strict=True):
        logits[position, sound] += 10
    return log_softmax(logits.astype(np.float32))


def _best_of(times: int, work: Callable[[], object]) -> float:
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return min(durations)
