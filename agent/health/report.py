"""Judge a snapshot: what is wrong with the station. Pure."""

from collections.abc import Collection
from enum import StrEnum

from agent.health.snapshot import Outcome, Snapshot

FRAMES_LATE_S = 5.0
DISK_LOW_BYTES = 100 * 2**20
MEMORY_LOW_BYTES = 100 * 2**20
TOO_SLOW, FAST_AGAIN = 1.0, 0.9
"""Real-time factors. Between them a station stays what it is, or one around 1 would flap."""
HOT_CELSIUS = 95.0
"""RK3568 throttles from about 95 degrees and stops at 115."""


class Fault(StrEnum):
    """What a station lacks, worst first. Each leaves the rest running."""

    NO_AUDIO = "no_audio"
    """No frame for 5 s: nothing can be heard."""
    AUDIO_STUCK = "audio_stuck"
    """Frames arrive but no sound: nothing can be heard."""
    ENGINE_FAILING = "engine_failing"
    """The model gives no result again and again: what is said then is lost."""
    SELF_TEST_FAILED = "self_test_failed"
    """A known utterance was not understood: what operators say may not be, either."""
    NO_BUTTON = "no_button"
    """The push-to-talk button cannot be read: nobody can talk to the station by it."""
    NO_LINK = "no_link"
    """No broker: nothing can be commanded."""
    NAME_TAKEN = "name_taken"
    """Another station has the same names: each takes the broker, and commands, away from the other."""
    TOO_SLOW = "too_slow"
    """The recognizer takes longer than the sound lasts."""
    ENGINE_FALLBACK = "engine_fallback"
    """The NPU should be at work and is not."""
    NO_UPDATES = "no_updates"
    """Updates cannot be worked at, as without their trusted root: what was installed last goes on."""
    NO_OUTBOX = "no_outbox"
    """Events are not kept on disk: those of an outage of the broker are lost."""
    MEMORY_LOW = "memory_low"
    DISK_LOW = "disk_low"
    HOT = "hot"


def assess(snapshot: Snapshot, before: Collection[Fault] = ()) -> tuple[Fault, ...]:
    """List the faults, worst first; none means the station is well.

    Args:
        snapshot: to be judged.
        before: the faults of the snapshot before it.
    """
    audio, system = snapshot.audio, snapshot.system
    too_slow_from = FAST_AGAIN if Fault.TOO_SLOW in before else TOO_SLOW
    present = {
        Fault.NO_AUDIO: audio.silent_for_seconds > FRAMES_LATE_S or not audio.source,
        Fault.AUDIO_STUCK: audio.stuck,
        Fault.ENGINE_FAILING: snapshot.engine.failing,
        Fault.SELF_TEST_FAILED: snapshot.self_test.outcome is Outcome.FAILED,
        Fault.NO_BUTTON: bool(snapshot.panel.button),
        Fault.NO_LINK: not snapshot.link.connected,
        Fault.NAME_TAKEN: snapshot.link.name_taken,
        Fault.TOO_SLOW: (snapshot.recognizer.real_time_factor or 0.0) > too_slow_from,
        Fault.ENGINE_FALLBACK: snapshot.engine.fallback,
        Fault.NO_UPDATES: bool(snapshot.updates.fault),
        Fault.NO_OUTBOX: bool(snapshot.link.outbox_fault),
        Fault.MEMORY_LOW: system.memory_available_bytes < MEMORY_LOW_BYTES,
        Fault.DISK_LOW: system.disk_free_bytes < DISK_LOW_BYTES,
        Fault.HOT: max(system.temperature_celsius.values(), default=0.0) > HOT_CELSIUS,
    }
    return tuple(fault for fault in Fault if present[fault])
