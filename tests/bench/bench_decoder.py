"""Search on 3 s of speech-like posteriors, against Kaldi's decoder, as the grammar grows."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agent.grammar import compile_grammar
from agent.grammar.graph import Graph
from agent.recognition.decoder import Decoder
from agent.recognition.network import build_network
from models.recipe.tokens import TOKENS
from tests.grammars.sized import grammar_of
from tests.recognition import kaldi

SIZES = (400, 1_000, 10_000, 100_000)
PENALTIES = {"blank_penalty": 3.0, "loop_penalty": 4.0, "entry_penalty": 0.0}
SECONDS, FRAME_S = 3.0, 0.024


def run() -> dict[str, object]:
    """Measure compile time, search time and Kaldi's search time for each size."""
    results = []
    for size in SIZES:
        grammar = grammar_of(size)
        compile_s = _best_of(3, lambda grammar=grammar: compile_grammar(grammar, TOKENS))
        graph = compile_grammar(grammar, TOKENS)
        network = build_network(graph)
        frames = _speech(graph)

        def search(network=network, frames=frames) -> None:
            decoder = Decoder(network, **PENALTIES)
            for frame in frames:
                decoder.step(frame)
                decoder.finishes()

        ours_s = _best_of(5, search)
        fst = kaldi.to_fst(network, PENALTIES["loop_penalty"], PENALTIES["entry_penalty"])
        emissions = kaldi.emissions(frames, PENALTIES["blank_penalty"])
        theirs_s = _best_of(5, lambda fst=fst, emissions=emissions: kaldi.best_path(fst, emissions, beam=40.0))
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
    log_probs: NDArray[np.float32] = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
    return log_probs


def _best_of(times: int, work: Callable[[], object]) -> float:
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return min(durations)
