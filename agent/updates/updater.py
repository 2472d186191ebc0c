"""The updates of one station: a thread that drives the state machine and carries out what it asks for.

It owns the state; others talk to it through its inbox. Fetching and trying take minutes, so nobody waits for
it, and it makes way when somebody wants something else.
"""

import contextlib
import fcntl
import math
import os
import queue
import threading
import time
from datetime import datetime
from pathlib import Path

import structlog

from agent import durable
from agent.errors import UpdateError
from agent.updates import state_file
from agent.updates.actions import Actions, Host, Parts
from agent.updates.effects import Check, Revert
from agent.updates.events import (
    Delivered,
    Event,
    Failed,
    Go,
    Healthy,
    Reverted,
    Rollback,
    Started,
    Steady,
    Stopping,
    Swapped,
    Trouble,
    Withdraw,
)
from agent.updates.machine import advance, awaited
from agent.updates.probation import Record, Terms, judge
from agent.updates.requests import has_requests, take_requests
from agent.updates.state import PREPARING, RESTING, Phase, State, Wish
from agent.updates.store import Store
from agent.updates.trust import Trust

TICK_S = 0.5
RETRY_S = 10.0
"""Between tries to write to a disk that refuses, or to tell an outcome that nobody takes."""
RECHECK_S = 60.0
"""After trouble that may pass."""
REPORT_EVERY_BYTES = 2**20
LEAVE_S = 5.0
"""At the end a server that does not answer is waited for no longer than this."""

log = structlog.get_logger()


class BusyError(UpdateError):
    """Another process has charge of a station's updates."""

    code = "update_busy"


class Updater:
    """Keeps one station up to date.

    Making one counts a start of the process, and where a bundle on probation has ended the process too often
    or is damaged, it points the link back: so make it before anything is loaded, and load `parts`.

    Args:
        folder: of everything that updates keep. One process at a time holds it.
        name: of the station, for rollouts by share.
        host: the rest of the agent.
        repository: or why there is none; then what is here can still be rolled back.
        reserve_bytes: of the disk, left free.
        terms: of probation.
        check_interval_s: how often to look again.

    Raises:
        BusyError: another process holds the folder.
        OSError: the folder cannot be made, or what it holds not be read.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        host: Host,
        repository: Trust | str,
        *,
        reserve_bytes: int,
        terms: Terms,
        check_interval_s: float,
    ) -> None:
        self.lacking = repository if isinstance(repository, str) else ""
        """Why there is no repository; empty if there is one."""
        self._folder, self._name, self._host, self._boot = folder, name, host, boot()
        self._terms, self._check_interval_s = terms, check_interval_s
        # Not SimpleQueue: in CPython 3.11 its `get` may wait for ever if its time ends at a bad moment.
        self._inbox: queue.Queue[Event] = queue.Queue()
        self._stopping = threading.Event()
        self._hurry = False
        """Somebody waits for what is under way to make way."""
        self._untidy = False
        """An update has ended, and may have left what nothing needs."""
        self.idle = False
        """It has nothing to do but wait, for somebody or for time to pass."""
        self._totals = self._mark = Record(0.0)
        self._next_check_s = self._next_telling_s = 0.0
        self._bytes_done = 0
        self._reported: tuple[State, int] | None = None
        self._thread = threading.Thread(target=self._run, name="updates", daemon=True)
        durable.make_folder(folder)
        self._lock = lock(folder)
        try:
            self._store = Store(folder / "store", reserve_bytes)
            self._actions = Actions(self._store, host, repository, self._interrupted, self._arrived)
            self.state = state_file.load(folder)
            self._begin()
        except Exception:  # somebody else may have more luck
            os.close(self._lock)
            raise

    @property
    def parts(self) -> Parts:
        """What is in use: what the station must start with.

        Raises:
            UpdateError: it was damaged since this was made.
        """
        return self._actions.parts(self._store.active())

    def step_back(self, reason: str) -> None:
        """Go back at once, before `start`: what is in use cannot be loaded.

        Raises:
            OSError: the disk refuses.
        """
        self._at_once(Rollback(reason))

    def start(self, *, look: bool = True) -> None:
        """Begin to work, in the background; before it nothing is fetched, swapped or reported.

        Args:
            look: whether to look by itself for what is wanted, or only do as asked.
        """
        if not look:
            self._next_check_s = math.inf
        self._thread.start()

    def stop(self, *, on_purpose: bool = True) -> None:
        """End; what was under way goes on at the next start. Unless on purpose it counts as a crash."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(LEAVE_S)
        if self._thread.is_alive():
            log.warning("updates_left_waiting", phase=self.state.phase)
            return
        self._actions.close()
        try:
            if on_purpose:
                self._take(Stopping())
        except OSError as error:  # then it counts as a crash
            log.error("update_state_not_written", reason=str(error))  # noqa: TRY400
        os.close(self._lock)

    def wish(self, wish: Wish) -> None:
        """Ask for something to run. From any thread."""
        wanted = wish.wanted
        chosen = wanted.rollout.includes(self._name) and (wanted.releases or wanted.follow)
        event = wish if chosen else Withdraw()
        with contextlib.suppress(queue.Empty):
            self._inbox.get_nowait()  # what was said last counts, and a trial may keep all from being heard
        self._inbox.put(event)
        if advance(self.state, event) != self.state:  # brokers repeat what is retained: that is no news
            self._hurry = True

    def observe(self, totals: Record) -> None:
        """Take note of how the station does, counted since it started. From one thread."""
        self._totals = totals

    def _interrupted(self) -> bool:
        return self._stopping.is_set() or self._hurry or has_requests(self._folder)

    def _begin(self) -> None:
        active = self._store.active()
        try:
            running, damage = self._actions.running(active), ""
        except UpdateError as error:
            running, damage = self.state.running, str(error)
        self._at_once(Started(active, running, self._boot))
        if damage and self._store.active() == active:
            log.error("update_slot_damaged", reason=damage)
            self._at_once(Rollback(damage))

    def _at_once(self, event: Event) -> None:
        """Take an event before the thread runs: nothing is loaded, so to go back only the link must."""
        try:
            self._take(event)
        except OSError as error:  # a station with a broken disk listens all the same
            log.error("update_state_not_written", reason=str(error))  # noqa: TRY400
            self.state = advance(self.state, event)
        if isinstance(effect := awaited(self.state), Revert):
            active = self._actions.point_back(effect.slot)
            self._at_once(Reverted(active, self._actions.running(active)))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._hand_over()
                if event := self._next():
                    self._surely(event)
                self._act()
            except Exception:  # the state is on the disk, and what it waits for will be done again
                log.exception("updates_stumbled")
                self._stopping.wait(RETRY_S)

    def _next(self) -> Event | None:
        """Wait a little for something to happen."""
        self._hurry = False
        try:
            event: Event | None = self._inbox.get(timeout=TICK_S)
        except queue.Empty:
            event = self._due()
        self.idle = not event and not awaited(self.state)
        return event

    def _surely(self, event: Event) -> None:
        """Take an event; where the disk refuses, again and again: nothing happens before it is written.

        Only the way back is: a full disk must not keep a bad bundle in use. If the process ends before the
        state is written, the link tells the next one.
        """
        while not self._stopping.is_set():
            try:
                self._take(event)
            except OSError as error:
                log.error("update_state_not_written", reason=str(error))  # noqa: TRY400
                after = advance(self.state, event)
                if isinstance(awaited(after), Revert):
                    self.state = after
                    return
                self._stopping.wait(RETRY_S)
            else:
                return

    def _take(self, event: Event) -> None:
        before = self.state
        after = advance(before, event)
        self._untidy |= isinstance(event, Healthy | Reverted)
        if isinstance(event, Swapped | Reverted):
            self._mark = self._totals  # before anybody can see the new phase, and count for it
        if after != before:
            state_file.save(self._folder, after)
            self.state = after
        if after.phase is not before.phase:
            log.info("update", phase=after.phase, reason=after.reason, was=before.phase)
        if isinstance(event, Trouble) and not event.final:
            self._next_check_s = time.monotonic() + min(RECHECK_S, self._check_interval_s)

    def _act(self) -> None:
        """Do what the state asks for, and what follows from that; what must make way is done later."""
        while True:
            self._report()
            self._tidy()
            effect = awaited(self.state)
            if effect is None or self._stopping.is_set():
                return
            if isinstance(effect, Check):
                self._next_check_s = time.monotonic() + self._check_interval_s
                self._bytes_done = 0
            try:
                event = self._actions.carry_out(effect)
            except OSError as error:
                log.error("update_disk_refuses", effect=type(effect).__name__, reason=str(error))  # noqa: TRY400
                self._stopping.wait(RETRY_S)
                return
            if event is None:
                return
            self._surely(event)

    def _tidy(self) -> None:
        """Remove what nothing needs, before what comes next is fetched: it would go, too."""
        if self._untidy:
            self._untidy = False
            try:
                self._store.prune(self.state.history)
            except OSError as error:  # it is done after the next update
                log.error("update_disk_refuses", effect="Tidy", reason=str(error))  # noqa: TRY400

    def _due(self) -> Event | None:
        """Say what somebody left, who comes first, or else what time has brought."""
        try:
            request = next(take_requests(self._folder), None)
        except OSError as error:  # what cannot be taken stops no probation
            log.error("update_disk_refuses", effect="request", reason=str(error))  # noqa: TRY400
            self._stopping.wait(RETRY_S)
            request = None
        return request or self._in_time()

    def _in_time(self) -> Event | None:
        state, record = self.state, self._totals.since(self._mark)
        wanted, candidate = state.wanted, state.candidate
        if state.later and state.phase in RESTING | PREPARING:
            return state.later
        if candidate and state.phase is Phase.PROBATION:
            finding = judge(state.before, record, self._terms)
            if finding is None:
                steady = record.seconds >= self._terms.seconds and state.steady != self._boot
                return Steady(self._boot) if steady else None
            return (Failed if finding.worse else Healthy)(candidate.slot, finding.evidence)
        if wanted and state.phase is Phase.STAGED:
            opens = wanted.rollout.opens(datetime.now().astimezone(), self._actions.past())
            return Go(record) if opens else None
        if wanted and state.phase in RESTING and time.monotonic() >= self._next_check_s:
            self._next_check_s = time.monotonic() + self._check_interval_s
            missing = set(wanted.releases) - set(state.running)
            return Wish(wanted) if wanted.follow or missing else None
        return None

    def _hand_over(self) -> None:
        if time.monotonic() < self._next_telling_s:
            return
        for outcome in self.state.outcomes:
            if not self._host.conclude(outcome):
                self._next_telling_s = time.monotonic() + RETRY_S
                return
            self._surely(Delivered(outcome.id))

    def _arrived(self, size_bytes: int) -> None:
        self._bytes_done += size_bytes
        if self._reported is None or self._bytes_done - self._reported[1] >= REPORT_EVERY_BYTES:
            self._report()

    def _report(self) -> None:
        news = (self.state, self._bytes_done)
        if news != self._reported:
            self._reported = news
            self._host.report(*news)


def boot() -> str:
    """Name this boot of the machine (random(4)); empty where it has no name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def lock(folder: Path) -> int:
    """Take charge of a station's updates until the descriptor is closed, also on a disk that is read-only.

    Raises:
        BusyError: another process has.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BusyError(f"{folder}: another process has charge of updates here") from error
    return descriptor
