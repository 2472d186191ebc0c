"""The trial of a bundle before it may come into use: on an engine of its own, in a process of its own.

What is tried hears its golden utterances by the very path that the microphone takes. A model that crashes its
runtime, hangs or eats the memory ends the trial and nothing else.

    python -m agent.updates.trial < conditions.json > evidence.json
"""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import psutil
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from agent.acoustics.bundle import Bundle, load_bundle
from agent.acoustics.engines.canary import require_canary
from agent.acoustics.engines.choose import ChosenEngine
from agent.acoustics.engines.engine import Engine
from agent.audio.file import read_audio
from agent.commands.fit import require_fit
from agent.errors import UpdateError, VoxlineError
from agent.evaluation.commands import Verdict, run_trials
from agent.evaluation.golden import GoldenSet, find_golden
from agent.evaluation.listening import Ear, in_room
from agent.grammar import compile_grammar, load_grammar
from agent.logs import configure_logging
from agent.settings import Commands, Recognition
from agent.updates.effects import CancelledError
from agent.updates.release import Kind, Limits, Reference

CPU_LIMIT_S = 900
"""Of computing: a busy station takes longer, and that is no fault of what is tried."""
TIMEOUT_S = 3600.0
"""For what hangs without computing."""
MIN_EXACT = 0.9
"""Share of golden utterances; the others may be rejected, none may become another command."""
REJECTS = "rejects.json"
_REJECTS = TypeAdapter(dict[str, str])
_POLL_S = 0.1
_STOPPED = {-signal.SIGTERM, -signal.SIGINT}
"""How a child ends whose agent is stopped: systemd, or Ctrl-C, tells all processes at once."""


class Conditions(BaseModel):
    """What is tried, and for which station."""

    model_config = ConfigDict(frozen=True)

    recognition: Recognition
    """Bundle and grammar that will run: the new ones, or those in use."""
    new: tuple[str, ...]
    """References of the releases that are new."""
    limits: Limits | None = None
    commands: Commands = Commands()
    cache: Path | None = None


class Evidence(BaseModel):
    """What the trial showed."""

    model_config = ConfigDict(frozen=True)

    fault: str = ""
    """Why it failed; empty if it passed."""
    utterances: int = 0
    exact: int = 0
    latency_p95_s: float | None = None
    memory_bytes: int = 0
    """By which the process grew."""


def run_apart(conditions: Conditions, interrupted: Callable[[], bool]) -> Evidence:
    """Run the trial in a child of low priority.

    Raises:
        CancelledError: it was interrupted.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "agent.updates.trial"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        unsent: bytes | None = conditions.model_dump_json().encode()
        deadline_s = monotonic() + TIMEOUT_S
        while True:
            try:
                output, _ = child.communicate(unsent, timeout=_POLL_S)
                break
            except subprocess.TimeoutExpired:
                unsent = None  # communicate() keeps what it could not write yet
                if interrupted():
                    child.kill()
                    raise CancelledError from None
                if monotonic() > deadline_s:
                    child.kill()
                    return Evidence(fault=f"the trial did not end within {TIMEOUT_S:.0f} s")
    if child.returncode in _STOPPED:
        raise CancelledError
    try:
        return Evidence.model_validate_json(output)
    except ValidationError:
        reason = "it crashed, or computed or took memory without end"
        return Evidence(fault=f"the trial's process ended with status {child.returncode}: {reason}")


def run(conditions: Conditions) -> Evidence:
    """Run the trial here."""
    before_bytes = _memory_bytes("VmHWM")
    try:
        bundle = load_bundle(conditions.recognition.bundle)
        _require_identity(bundle, conditions)
        engine = ChosenEngine(bundle, conditions.recognition.engine)
        try:
            return _try(bundle, engine, conditions, before_bytes)
        finally:
            engine.close()
    except (VoxlineError, OSError) as error:
        return Evidence(fault=str(error))


def _try(bundle: Bundle, engine: ChosenEngine, conditions: Conditions, before_bytes: int) -> Evidence:
    if engine.choice.fallback:
        return Evidence(fault=f"it would run on the CPU: {engine.choice.reason}")
    require_canary(bundle, engine)
    named = conditions.recognition
    grammar = load_grammar(named.grammar)
    require_fit(conditions.commands, grammar)
    compile_grammar(grammar, bundle.manifest.tokens, conditions.cache)
    verdicts, fault = list[Verdict](), ""
    for beside in (named.bundle, named.grammar.parent):
        if not fault and (golden := find_golden(beside, grammar)):
            heard, fault = _listen(bundle, engine, conditions, golden)
            verdicts += heard
    evidence = Evidence(
        utterances=len(verdicts),
        exact=verdicts.count(Verdict.EXACT),
        latency_p95_s=engine.latency.quantile_s(0.95),
        memory_bytes=max(0, _memory_bytes("VmHWM") - before_bytes),
    )
    return evidence.model_copy(update={"fault": fault or _shortfall(evidence, conditions.limits)})


def _require_identity(bundle: Bundle, conditions: Conditions) -> None:
    for reference in map(Reference.parse, conditions.new):
        if reference.kind is Kind.MODEL and bundle.manifest.name != reference.name:
            raise UpdateError(f"{reference} holds another bundle: {bundle.manifest.name}")


def _listen(
    bundle: Bundle, engine: Engine, conditions: Conditions, golden: GoldenSet
) -> tuple[list[Verdict], str]:
    """Hear one golden set: a verdict for each utterance, and the first thing that must not be, or nothing."""
    calibration = bundle.manifest.operating_points.at(conditions.recognition.operating_point)
    graph = compile_grammar(golden.grammar, bundle.manifest.tokens, conditions.cache)
    ear = Ear(bundle, engine, graph, calibration)
    trials = run_trials(ear, golden.labels, golden.folder, None, [None])
    fault = next((f"{t.file} became another command" for t in trials if t.verdict is Verdict.WRONG), "")
    for file in _rejects(golden.folder / REJECTS):
        heard = ear.listen(in_room(read_audio(golden.folder / file), None, None, seed=0))
        if any(hypothesis.reject is None for hypothesis in heard):
            fault = fault or f"{file} is no command and became one"
    return [trial.verdict for trial in trials], fault


def _rejects(path: Path) -> list[str]:
    return sorted(_REJECTS.validate_json(path.read_bytes())) if path.exists() else []


def _shortfall(evidence: Evidence, limits: Limits | None) -> str:
    if evidence.exact < MIN_EXACT * evidence.utterances:
        return f"only {evidence.exact} of {evidence.utterances} golden utterances were understood"
    if limits is None:
        return ""
    latency_s = evidence.latency_p95_s
    if latency_s is not None and latency_s > limits.latency_p95_s:
        return f"latency p95 {latency_s * 1000:.0f} ms, allowed {limits.latency_p95_s * 1000:.0f} ms"
    if evidence.memory_bytes > limits.memory_bytes:
        return f"needs {evidence.memory_bytes} bytes of memory, allowed {limits.memory_bytes}"
    return ""


def _memory_bytes(field: str) -> int:
    """Ask /proc: getrusage would begin with the peak of the process that started this one."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def _bound(limits: Limits | None) -> None:
    """Let nobody else pay for a model that computes or eats without end: it gets its share, and dies first.

    Of memory that is half of what is free, and at most twice what its release allows: beyond that there is
    nothing more to learn about it.
    """
    ceiling_bytes = psutil.virtual_memory().available // 2
    if limits:
        ceiling_bytes = min(ceiling_bytes, 2 * limits.memory_bytes)
    data_bytes = _memory_bytes("VmData") + ceiling_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    Path("/proc/self/oom_score_adj").write_text("1000")


def main() -> None:
    """Read conditions, write evidence."""
    os.nice(10)
    evidence = os.dup(1)
    os.dup2(2, 1)  # the vendor's runtime writes where it likes; standard output is for the evidence
    configure_logging("warning")
    conditions = Conditions.model_validate_json(sys.stdin.buffer.read())
    _bound(conditions.limits)
    os.write(evidence, run(conditions).model_dump_json().encode())


if __name__ == "__main__":
    main()
