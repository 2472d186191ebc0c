"""Compiling grammars: time, size and cache, as they grow."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from agent.grammar.compiler import accepted_sentences, compile_grammar
from agent.grammar.lexicon import Lexicon, inventory
from agent.grammar.schema import Grammar
from tests.grammars.sized import grammar_of, listed_grammar_of

_TOKENS = ("<blank>", "<noise>", *sorted(inventory()))
_REPEATS = 5


def run() -> dict[str, Any]:
    """Compile grammars with three slots, one of them a range, and grammars whose sentences are listed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    began = time.process_time()
    Lexicon({})["start"]
    result: dict[str, Any] = {"dictionary_load_s": round(time.process_time() - began, 3)}
    for sentences in (100, 1_000, 10_000, 100_000):
        result[f"slots_{sentences}"] = _measure(grammar_of(sentences))
    for sentences in (1_000, 10_000):
        result[f"listed_{sentences}"] = _measure(listed_grammar_of(sentences))
    return result


def _measure(grammar: Grammar) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        compiled = [_seconds(lambda: compile_grammar(grammar, _TOKENS)) for _ in range(_REPEATS)]
        graph = compile_grammar(grammar, _TOKENS, Path(folder))
        cached = [_seconds(lambda: compile_grammar(grammar, _TOKENS, Path(folder))) for _ in range(_REPEATS)]
        (file,) = Path(folder).iterdir()
        return {
            "sentences": accepted_sentences(grammar).count(),
            "compile_s": round(statistics.median(compiled), 4),
            "cached_s": round(statistics.median(cached), 4),
            "nodes": len(graph.label),
            "arcs": len(graph.source),
            "cache_bytes": file.stat().st_size,
        }


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
