"""What the parts of a running station know about themselves, gathered for the health report."""

import math
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

from agent.audio.microphone import Microphone
from agent.audio.pcm import PcmPipe
from agent.audio.source import AudioSource
from agent.audio.stuck import Stuck
from agent.commands.decision import Hindrances
from agent.examiner import Examiner
from agent.exchange import Exchange
from agent.health.probes import SystemProbe
from agent.health.snapshot import AudioHealth, EngineHealth, RecognizerHealth, Snapshot, Versions
from agent.hearing import Hearing
from agent.messaging import contract
from agent.messaging.client import Link
from agent.panel.panel import Panel
from agent.settings import Settings
from agent.station import Ears

FAILING_S = 10.0
"""So long after a failure an engine counts as failing: one that fails now and then must be seen, too."""


class Vitals:
    """Asks the parts; keeps the counts that no part keeps."""

    def __init__(
        self,
        settings: Settings,
        source: AudioSource,
        hearing: Hearing,
        ears: Ears,
        link: Link,
        examiner: Examiner,
        panel: Panel,
        updates: Exchange,
    ) -> None:
        self.ears = ears
        """Those at work: updates change them."""
        self.accepts = 0
        self.rejects = Counter[str]()
        self.engine_failures = 0
        self._engine_failed_s = -math.inf
        self._examiner, self._panel, self._updates = examiner, panel, updates
        self._source, self._hearing, self._link = source, hearing, link
        self._configured = settings.audio.type
        self._probe = SystemProbe(settings.storage.state)
        self._agent_version = version("voxline")  # read from disk: once, not with every snapshot
        self._started_s = time.monotonic()
        self._audio_state: tuple[str, Stuck | None] = ("", None)
        self._progress = -1

    def engine_failed(self, now_s: float) -> bool:
        """Count a run of the engine that gave no result; true if it is the first one lately."""
        first = not self._engine_failing(now_s)
        self.engine_failures += 1
        self._engine_failed_s = now_s
        return first

    def _engine_failing(self, now_s: float) -> bool:
        return now_s - self._engine_failed_s < FAILING_S

    def progressed(self) -> bool:
        """Whether the recognizer got on since it was asked last, or waits for a microphone that is gone."""
        progress = self.ears.engine.latency.calls  # what the engine fails at is no progress
        if isinstance(self._source, Microphone):
            progress += self._source.state.attempts
        moved, self._progress = progress != self._progress, progress
        return moved

    def audio_event(self, now_s: float) -> contract.Audio | None:
        """Say, once, that the microphone came, went, got stuck or recovered."""
        name = self._source_name()
        stuck = self._hearing.stuck(now_s) if name else None
        old_name, old_stuck = self._audio_state
        if (name, stuck) == (old_name, old_stuck):
            return None
        self._audio_state = (name, stuck)
        event: Literal["opened", "lost", "stuck", "recovered"] = (
            "lost" if not name else "stuck" if stuck else "recovered" if old_stuck else "opened"
        )
        reason = stuck or (self._source.state.reason if isinstance(self._source, Microphone) else "") or ""
        return contract.Audio(time=datetime.now(UTC), event=event, source=name or old_name, reason=reason)

    def _source_name(self) -> str:
        if isinstance(self._source, Microphone):
            return self._source.state.device or ""
        return self._configured

    def _audio(self, now_s: float) -> AudioHealth:
        audio = AudioHealth(
            source=self._source_name(),
            frames_total=self._hearing.frames_total,
            silent_for_seconds=now_s - self._hearing.last_frame_s,
            stuck=self._hearing.stuck(now_s) is not None,
            overruns_total=self._source.overruns if isinstance(self._source, Microphone | PcmPipe) else 0,
        )
        if not self._hearing.frames_total:
            return audio
        levels = self._hearing.listener.levels
        return replace(
            audio,
            level_dbfs=levels.rms_dbfs,
            peak_dbfs=levels.peak_dbfs,
            noise_floor_dbfs=levels.noise_floor_dbfs,
            snr_db=levels.snr_db,
        )

    def snapshot(self, now_s: float, grammar_version: str, hindrances: Hindrances) -> Snapshot:
        """Ask all parts how they are."""
        choice, latency = self.ears.engine.choice, self.ears.engine.latency
        beam_nats, beam_sentences = self._hearing.listener.recognizer.beam
        return Snapshot(
            uptime_seconds=now_s - self._started_s,
            versions=Versions(self._agent_version, self.ears.version, grammar_version),
            engine=EngineHealth(
                name=choice.name,
                reason=choice.reason,
                fallback=choice.fallback,
                failing=self._engine_failing(now_s),
                failures_total=self.engine_failures,
                inferences_total=latency.calls,
                inference_p50_seconds=latency.quantile_s(0.5),
                inference_p95_seconds=latency.quantile_s(0.95),
                inference_max_seconds=latency.quantile_s(1.0),
            ),
            audio=self._audio(now_s),
            recognizer=RecognizerHealth(
                real_time_factor=self._hearing.real_time_factor,
                beam_nats=beam_nats,
                beam_sentences=beam_sentences,
                accepts_total=self.accepts,
                rejects_total=dict(self.rejects),
            ),
            commands=hindrances,
            self_test=self._examiner.health(now_s),
            panel=self._panel.health(),
            updates=self._updates.health(),
            link=self._link.health(),
            system=self._probe.read(),
        )
