"""Updates meet the rest of the agent: settings, the MQTT contract, the trial in a child process."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import structlog

from agent.errors import UpdateError
from agent.health.snapshot import Outcome as Tested
from agent.health.snapshot import Snapshot
from agent.messaging.contract import Desired, Update, Updated
from agent.messaging.namespace import Namespace
from agent.messaging.payload import Payload
from agent.settings import Settings
from agent.updates.actions import Host, Parts
from agent.updates.floor import UntrustedError
from agent.updates.probation import Record, Terms
from agent.updates.release import Kind, Reference, Release
from agent.updates.rollout import Rollout
from agent.updates.state import Outcome, Phase, State, Wanted, Wish
from agent.updates.transports.folder import Folder
from agent.updates.transports.https import Https
from agent.updates.transports.mqtt import Broker
from agent.updates.transports.transport import Transport
from agent.updates.trial import Conditions, run_apart
from agent.updates.trust import Trust, require_root
from agent.updates.updater import Updater

_ENDS: Mapping[Phase, Literal["committed", "rolled_back", "refused"]] = {
    Phase.COMMITTED: "committed",
    Phase.ROLLED_BACK: "rolled_back",
    Phase.REFUSED: "refused",
}

log = structlog.get_logger()


def open_transport(settings: Settings) -> Transport | None:
    """Return the way to the repository, None if the settings name none."""
    source = settings.updates.source
    if source is None:
        return None
    if source == "mqtt":
        return Broker(settings.mqtt, Namespace.of(settings.station).base)
    if source.startswith("/"):
        return Folder(Path(source))
    return Https(source.rstrip("/") + "/", settings.updates.tls)


def open_repository(settings: Settings, folder: Path) -> Trust:
    """Return the repository that the settings name, verified.

    Args:
        settings: of this station.
        folder: where what is known of the repository is kept.

    Raises:
        UpdateError: they name none, or the root metadata that should be trusted cannot be read.
    """
    transport = open_transport(settings)
    if transport is None:
        raise UpdateError("the settings name no source of updates; see [updates] source")
    path = settings.updates.root
    try:
        root = path.read_bytes()
        require_root(root)
    except OSError as error:
        raise UpdateError(f"{path}: {error.strerror}; copy 1.root.json of the repository there") from error
    except UntrustedError as error:
        raise UpdateError(f"{path}: {error}; copy 1.root.json of the repository there") from error
    return Trust(root, folder / "metadata", folder / "documents", folder / "floor.json", transport)


def open_updater(settings: Settings, host: Host) -> Updater:
    """Take charge of a station's updates; counts a start, so do it before a bundle is loaded.

    Raises:
        BusyError: another process has charge.
        OSError: as of `Updater`.
    """
    updates = settings.updates
    repository: Trust | str
    try:
        repository = open_repository(settings, settings.storage.updates / "trust")
    except UpdateError as error:  # what was installed stays in use, and the way back stays open
        repository = str(error)
    return Updater(
        settings.storage.updates,
        Namespace.of(settings.station).base,
        host,
        repository,
        reserve_bytes=updates.reserve_bytes,
        terms=Terms(updates.probation_s, updates.probation_utterances),
        check_interval_s=updates.check_interval_s,
    )


def with_parts(settings: Settings, parts: Parts) -> Settings:
    """Return settings that name what updates have put into use."""
    named = settings.recognition
    recognition = named.model_copy(
        update={"bundle": parts.model or named.bundle, "grammar": parts.grammar or named.grammar}
    )
    return settings.model_copy(update={"recognition": recognition})


def record_of(snapshot: Snapshot) -> Record:
    """Read how the station does out of its health."""
    rejects = sum(snapshot.recognizer.rejects_total.values())
    return Record(
        seconds=snapshot.uptime_seconds,
        utterances=snapshot.recognizer.accepts_total + rejects,
        rejects=rejects,
        engine_errors=snapshot.engine.failures_total + snapshot.engine.fallback,
        self_tests=snapshot.self_test.runs_total.get(Tested.PASSED, 0),
        self_test_failures=snapshot.self_test.runs_total.get(Tested.FAILED, 0),
        latency_s=snapshot.engine.inference_p50_seconds,
        offline_s=0.0 if snapshot.link.connected else snapshot.link.since_seconds,
    )


def wish_of(desired: Desired) -> Wish:
    """Read what the plant asks for.

    Where it asks also for what failed here before, the message is named, the same way each time it comes.
    """
    named = {Kind.MODEL: desired.model, Kind.GRAMMAR: desired.grammar}
    references = tuple(Reference(kind, this.name, this.version) for kind, this in named.items() if this)
    window = (desired.window.start, desired.window.end) if desired.window else None
    wanted = Wanted(references, desired.follow, Rollout(desired.percent, desired.not_before, window))
    if not desired.retry:
        return Wish(wanted)
    return Wish(wanted, str(desired.id) if "id" in desired.model_fields_set else desired.time.isoformat())


class AgentHost:
    """The rest of the agent as updates see it; see `Host`.

    Args:
        settings: of this station.
        swap: lets parts work from the next pause between utterances on, and returns when they do.
        publish: puts a payload on its way, and tells whether that was done; None while there is nobody to
            tell, and outcomes wait.
    """

    def __init__(
        self,
        settings: Settings,
        swap: Callable[[Parts], None],
        publish: Callable[[Payload], bool] | None,
    ) -> None:
        self.swap = swap
        self._settings, self._publish = settings, publish

    def try_out(self, parts: Parts, new: Mapping[Kind, Release], interrupted: Callable[[], bool]) -> str:
        """Try parts in a process of their own."""
        model = new.get(Kind.MODEL)
        conditions = Conditions(
            recognition=with_parts(self._settings, parts).recognition,
            new=tuple(str(release.reference) for release in new.values()),
            limits=model.limits if model else None,
            commands=self._settings.commands,
            cache=self._settings.storage.grammars,
        )
        evidence = run_apart(conditions, interrupted)
        log.info("update_tried", **evidence.model_dump())
        return evidence.fault

    def report(self, state: State, bytes_done: int) -> None:
        """Publish how the update stands."""
        if self._publish:
            self._publish(describe(state, bytes_done, datetime.now(UTC)))

    def conclude(self, outcome: Outcome) -> bool:
        """Put an outcome into the outbox; without one it waits until there is a link."""
        if self._publish is None:
            return False
        return self._publish(
            Updated(
                time=datetime.now(UTC),
                number=outcome.id,
                outcome=_ENDS[outcome.phase],
                reason=outcome.reason,
                releases=tuple(map(str, outcome.releases)),
                active=outcome.slot,
            )
        )


def describe(state: State, bytes_done: int, now: datetime) -> Update:
    """Say how an update stands."""
    candidate = state.candidate
    return Update(
        time=now,
        phase=state.phase.value,
        reason=state.reason,
        releases=tuple(map(str, candidate.releases)) if candidate else (),
        bytes_done=bytes_done,
        bytes_total=candidate.size_bytes if candidate else 0,
        active=state.active,
        running=tuple(map(str, state.running)),
        pinned=state.pinned,
    )
