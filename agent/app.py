"""The composition root: builds the parts, runs them, stops them in order.

The recognizer hears, the link speaks MQTT and updates are worked at, each in a thread of its own; this one
decides. Whatever the others have to say comes through one inbox: one decision after the other.
"""

import contextlib
import queue
import signal
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from uuid_utils.compat import uuid7

from agent.acoustics.engines.choose import EngineChoice
from agent.acoustics.memory import give_back
from agent.audio.microphone import Microphone
from agent.audio.source import AudioSource
from agent.commands import events
from agent.commands.audit import AuditLog
from agent.commands.decision import Hindrances
from agent.commands.policy import Policy
from agent.errors import AudioError, VoxlineError
from agent.examiner import Examiner
from agent.exchange import Exchange, TakenOver
from agent.hands import Hands
from agent.health.metrics import MetricsServer
from agent.health.report import Fault, assess
from agent.health.snapshot import Result
from agent.health.watchdog import Watchdog
from agent.hearing import Ended, EngineFailed, Hearing
from agent.inbox import Inbox
from agent.messaging import compose, contract
from agent.messaging.client import Link
from agent.messaging.inbound import Admitted
from agent.messaging.namespace import Namespace
from agent.messaging.outbox import open_outbox
from agent.messaging.sparkplug.link import SparkplugLink
from agent.messaging.understand import Interpreter
from agent.panel.panel import Panel
from agent.recognition.hypothesis import Hypothesis
from agent.recognition.listener import Listener
from agent.settings import Health, Settings
from agent.station import Ears, Vocabulary, open_source
from agent.vitals import Vitals

TICK_S = 0.1
SETTLE_S = 3.0
"""How long a source that has ended is given for its last commands to be delivered and answered."""
WELL = "well"
"""What systemd is told of a station without faults."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A grammar was read anew."""

    vocabulary: Vocabulary | None
    ears: Ears
    """What it was compiled for."""
    error: str = ""


class App:
    """One running station.

    Args:
        settings: everything it needs to know.
        source: where sound comes from instead of what the settings name; the demonstration brings its own.

    Raises:
        VoxlineError: a part cannot start at all: bundle, grammar, engine or recording.
    """

    def __init__(self, settings: Settings, source: AudioSource | None = None) -> None:
        self._settings = settings
        self._inbox = Inbox()
        self._faults: tuple[Fault, ...] = ()
        self._synchronized: bool | None = None
        self._inhibited = ""
        self._stopping = self._reload_wanted = False
        self._compiling = threading.Lock()
        self._next_health_s = 0.0
        self._watchdog = Watchdog()
        self._metrics = _open_metrics(settings.health)

        self._understand = Interpreter(settings.station.id)
        self._outbox = open_outbox(settings.storage.state / "outbox.sqlite")
        namespace = Namespace.of(settings.station)
        self._sparkplug = SparkplugLink(settings.mqtt, namespace) if settings.mqtt.sparkplug else None
        self._link = Link(
            settings.mqtt,
            namespace,
            self._inbox.offer,
            self._inbox.reconnect,
            self._outbox,
            self._sparkplug.publish if self._sparkplug else None,
        )
        self._updates = Exchange(settings, self._inbox.put, self._link.publish)
        self._ears, self._vocabulary = self._updates.load()
        self._source = source or open_source(settings)
        self._hearing = Hearing(self._source, self._ears.listener(self._vocabulary), self._inbox.put)
        heard = isinstance(self._source, Microphone)
        self._panel = Panel(settings.panel, self._inbox.put, self._hearing.mute if heard else None)
        self._panel.language = self._vocabulary.grammar.language
        self._examiner = Examiner(settings.health.self_test_interval_s, self._hearing, self._ears)
        self._vitals = Vitals(
            settings,
            self._source,
            self._hearing,
            self._ears,
            self._link,
            self._examiner,
            self._panel,
            self._updates,
        )
        audit = AuditLog(settings.storage.audit)
        self._hands = Hands(self._link, self._hearing, self._vitals, audit, self._panel, self._inbox.put)
        self._policy = Policy(settings.commands, settings.station.id, self._loaded(), new_id=uuid7)

    def run(self) -> None:
        """Listen until the source ends or a signal says stop.

        Raises:
            AudioError: the source ended for good, though it should not have.
        """
        self._link.watch(self._vocabulary.required_states)
        self._link.publish(contract.State(time=datetime.now(UTC), status=contract.Status.ONLINE))
        self._link.start()
        if self._sparkplug:
            self._sparkplug.start()
        self._hearing.start()
        self._updates.start(self._hearing)
        self._watchdog.ready()
        log.info("listening", grammar=self._vocabulary.version, bundle=self._ears.version)
        on_purpose = False
        try:
            self._loop()
            on_purpose = True
        finally:
            self._watchdog.stopping()
            self._updates.stop(on_purpose=on_purpose)
            self._hearing.stop()
            self._link.stop()
            if self._sparkplug:
                self._sparkplug.stop()
            if on_purpose:
                self._conclude()
            if self._outbox:
                self._outbox.close()
            self._hands.close()
            self._ears.engine.close()
            self._panel.close()
            if self._metrics:
                self._metrics.close()

    def stop(self) -> None:
        """End `run` soon. Safe from any thread and from signal handlers, which must not touch a queue."""
        self._stopping = True

    def reload(self) -> None:
        """Read the grammar again; a faulty one is reported and the old one stays. Safe as `stop` is."""
        self._reload_wanted = True

    def _loop(self) -> None:
        end_s, failure = float("inf"), ""
        next_tick_s = 0.0
        while not self._stopping and (now_s := time.monotonic()) < end_s:
            if now_s >= next_tick_s:
                next_tick_s = float("inf")
                self._inbox.put(events.Tick())  # behind what was said: it may be late, but it was no silence
            try:
                item, waited_s = self._inbox.get(TICK_S)
            except queue.Empty:
                continue
            match item:
                case Ended(error):
                    failure, end_s = error, time.monotonic() + SETTLE_S
                case events.Tick():
                    next_tick_s = now_s + TICK_S
                    self._tick(time.monotonic())
                case _:
                    self._take(item, waited_s)
        if failure:
            raise AudioError(f"nothing can be heard any more: {failure}")

    def _conclude(self) -> None:
        """Keep what became of the commands that were under way: the plant hears it from the next start."""
        with contextlib.suppress(queue.Empty):
            while True:
                item, _ = self._inbox.get(0)
                if isinstance(item, events.Delivered):
                    self._step(item)

    def _take(self, item: object, waited_s: float) -> None:
        match item:
            case Hypothesis():
                self._step(events.Heard(item))
            case EngineChoice():
                self._publish_engine(item)
            case EngineFailed(reason):
                if self._vitals.engine_failed(time.monotonic()):  # it may fail at every window for hours
                    log.error("engine_failed", reason=reason)
            case Result():
                self._examined(item)
            case Compiled(vocabulary, ears, error):
                self._adopt(vocabulary, ears, error)
            case TakenOver(vocabulary, ears):
                self._settle_in(vocabulary, ears)
            case Admitted(payload=contract.Desired() as desired):
                self._updates.wish(desired)
            case Admitted(payload=contract.SelfTest()):
                self._examiner.ask()
            case Admitted():
                event = self._understand.event(item, datetime.now(UTC), waited_s)
                if event:
                    self._step(event)
            case events.Reconnected(connection):
                self._hands.connection = connection
                self._step(item)
            case events.Button(pressed):
                self._step(events.Button(pressed, waited_s))
            case events.Delivered() | events.ClaimsLost():
                self._step(item)
            case _:
                log.error("unexpected_event", item=repr(item)[:200])

    def _tick(self, now_s: float) -> None:
        self._step(events.Tick())
        if self._ears.grammar_changed() or self._reload_wanted:
            self._reload_wanted = False
            threading.Thread(target=self._compile, name="compile", daemon=True).start()
        if self._vitals.progressed():
            self._watchdog.progress(now_s)
        if audio := self._vitals.audio_event(now_s):
            self._link.publish(audio)
        if result := self._examiner.tick(now_s):
            self._examined(result)
        hindrances = self._policy.hindrances(now_s)
        snapshot = self._vitals.snapshot(now_s, self._vocabulary.version, hindrances)
        self._updates.observe(snapshot)
        faults = assess(snapshot, self._faults)
        self._hands.sync(now_s)
        self._panel.tick(now_s)
        if faults != self._faults or now_s >= self._next_health_s:
            self._next_health_s = now_s + self._settings.health.interval_s
            self._link.publish(compose.health(snapshot, faults, datetime.now(UTC)))
            self._watchdog.status(", ".join(faults) or WELL)
            if faults == self._faults and Fault.NO_LINK not in faults:  # else the broker may yet tell
                self._tell_of(hindrances)
            if self._metrics:
                self._metrics.show(snapshot, faults)
        synchronized = snapshot.system.clock_synchronized  # with it the quality of the state changes
        if faults != self._faults or synchronized != self._synchronized:
            self._faults, self._synchronized = faults, synchronized
            self._hands.degrade(faults)

    def _tell_of(self, hindrances: Hindrances) -> None:
        """Log, once, that commands cannot pass: nobody should have to speak to find that out."""
        if hindrances.reason != self._inhibited:
            self._inhibited = hindrances.reason
            if hindrances.inhibited:
                log.warning("commands_inhibited", reason=hindrances.reason)
            else:
                log.info("commands_free")

    def _examined(self, result: Result) -> None:
        self._examiner.take(result, time.monotonic())
        self._link.publish(compose.self_tested(result, datetime.now(UTC)))
        log.info("self_tested", outcome=result.outcome, utterance=result.utterance, reason=result.reason)
        give_back()  # of the test, of a grammar that was compiled before it, of an hour of sentences

    def _step(self, event: events.Event) -> None:
        for effect in self._policy.step(event, time.monotonic()):
            self._hands.do(effect)

    def _compile(self) -> None:
        ears = self._ears
        try:
            with self._compiling:  # one after the other, so that the newest is the last
                vocabulary = ears.load_vocabulary()
                self._inbox.put(Compiled(vocabulary, ears))
        except (VoxlineError, OSError) as error:
            self._inbox.put(Compiled(None, ears, str(error)))
        except Exception as error:
            log.exception("grammar_failed")
            self._inbox.put(Compiled(None, ears, f"{type(error).__name__}: {error}"))

    def _adopt(self, vocabulary: Vocabulary | None, ears: Ears, error: str) -> None:
        if ears is not self._ears:
            self._reload_wanted = True  # an update came between: compile for what hears now
            return
        if vocabulary is None:
            log.error("grammar_refused", reason=error)
            self._link.publish(
                contract.Grammar(
                    time=datetime.now(UTC),
                    event="refused",
                    grammar=str(ears.grammar_file),
                    reason=error,
                )
            )
            return
        recognizer = ears.recognizer(vocabulary)

        def take_over(listener: Listener) -> None:
            if listener.stream.manifest is not ears.bundle.manifest:
                self._reload_wanted = True  # an update took over while this waited for a pause
                return
            listener.take(recognizer)
            self._inbox.put(TakenOver(vocabulary))

        self._hearing.change(take_over)

    def _settle_in(self, vocabulary: Vocabulary, ears: Ears | None) -> None:
        """Judge by the new grammar from now on: what the old one heard has been judged by the old one."""
        if ears:
            self._ears.engine.close()
            self._ears = self._vitals.ears = ears
        self._examiner.renew(self._ears)
        self._panel.language = vocabulary.grammar.language
        self._vocabulary = vocabulary
        self._link.watch(vocabulary.required_states)
        self._step(self._loaded())
        now = datetime.now(UTC)
        self._link.publish(contract.Grammar(time=now, event="loaded", grammar=vocabulary.version))
        log.info("grammar_loaded", grammar=vocabulary.version)

    def _loaded(self) -> events.Loaded:
        return events.Loaded(self._vocabulary.grammar, self._vocabulary.version, self._ears.version)

    def _publish_engine(self, choice: EngineChoice) -> None:
        self._link.publish(
            contract.Engine(
                time=datetime.now(UTC), engine=choice.name, reason=choice.reason, fallback=choice.fallback
            )
        )


def _open_metrics(settings: Health) -> MetricsServer | None:
    return MetricsServer(settings.metrics_host, settings.metrics_port) if settings.metrics_port else None


def handle_signals(app: App) -> None:
    """Let SIGTERM and SIGINT stop the agent and SIGHUP reload its grammar."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: app.stop())
    signal.signal(signal.SIGHUP, lambda *_: app.reload())
