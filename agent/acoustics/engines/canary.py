"""The window with a known answer: what an engine must give before it may hear anything."""

from agent.acoustics.bundle import Bundle
from agent.acoustics.engines.engine import Engine
from agent.acoustics.features import window_rows
from agent.errors import EngineError

MIN_AGREEMENT = 0.9
"""Share of frames whose best token is the known one: the same model on another processor."""


def require_canary(bundle: Bundle, engine: Engine) -> None:
    """Run the bundle's canary, if it carries one.

    Raises:
        EngineError: the engine fails, or its answer is wrong.
    """
    canary = bundle.canary()
    if canary is None:
        return
    answer = engine.run(window_rows(bundle.manifest, canary.samples))
    agreement = float((answer.argmax(axis=1) == canary.logits.argmax(axis=1)).mean())
    if agreement < MIN_AGREEMENT:
        raise EngineError(
            f"the answer to the canary is wrong: only {agreement:.0%} of its frames are as known"
        )
