"""`voxline demo`: the whole agent on a broker of its own, with a SCADA system that shows what it receives."""

import contextlib
import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from agent.app import App
from agent.audio.playback import Playback
from agent.audio.source import AudioSource
from agent.demo import show
from agent.demo.broker import HOST, broker
from agent.demo.scada import Scada
from agent.demo.script import play, read_script
from agent.messaging.namespace import Namespace
from agent.settings import Mqtt, Recognition, Settings, Station, Storage

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "models/bundles/voxline-en-zh"
GRAMMAR = ROOT / "grammars/demo.yaml"
STATION = Station(enterprise="acme", site="lyon", area="assembly", line="line1", cell="demo", id="station1")
LONGEST_LINE_S = 12.0


def run_demo(console: Console) -> bool:
    """Play the script, show what comes of each line, and tell whether all was as it should be.

    Raises:
        VoxlineError: a part cannot start.
    """
    script = read_script()
    begun: queue.Queue[float] = queue.Queue()
    sound = play(script, BUNDLE / "golden", lambda _: begun.put(time.monotonic()))
    console.print(show.header())
    with _stage(Playback(sound, real_time=True)) as scada:
        verdicts = []
        starts_s = [begun.get(timeout=30)]
        for line in script:
            starts_s.append(_next_start(begun))
            received = [message for message in scada.since(starts_s[-2]) if message.at_s < starts_s[-1]]
            verdicts.append(show.judge(line, received))
            console.print(show.row(line, received, verdicts[-1]))
        show.summary(console, verdicts.count(True), len(script), scada.last("health"))
    return all(verdicts)


def run_microphone(console: Console) -> None:
    """Listen to the real microphone until Ctrl-C, and show what comes of everything said.

    Raises:
        VoxlineError: a part cannot start.
    """
    console.print(f"Speak a sentence of {GRAMMAR.name}; `voxline grammar sample` shows some. Ctrl-C ends.")
    with _stage(None) as scada:
        shown_s = time.monotonic()
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(0.2)
                news = [
                    message for message in scada.since(shown_s) if message.topic not in {"state", "health"}
                ]
                if news and time.monotonic() - news[-1].at_s > 0.5:
                    console.print(show.received_row(news))
                    shown_s = news[-1].at_s + 1e-9


@contextlib.contextmanager
def _stage(source: AudioSource | None) -> Iterator[Scada]:
    """Run a broker, a SCADA system and the agent, wired to each other; without a source on the microphone."""
    with broker() as port, tempfile.TemporaryDirectory(prefix="voxline-demo-") as folder:
        settings = Settings(
            station=STATION,
            recognition=Recognition(grammar=GRAMMAR, bundle=BUNDLE),
            mqtt=Mqtt(host=HOST, port=port),
            storage=Storage(state=Path(folder, "state"), cache=Path(folder, "cache")),
        )
        with Scada(port, Namespace.of(settings.station)) as scada:
            app = App(settings, source)
            running = threading.Thread(target=app.run, name="agent", daemon=True)
            running.start()
            try:
                yield scada
            finally:
                app.stop()
                running.join(15)


def _next_start(begun: "queue.Queue[float]") -> float:
    """Wait for the next line to begin; after the last one, for as long as its outcome may take."""
    try:
        return begun.get(timeout=LONGEST_LINE_S)
    except queue.Empty:
        return time.monotonic()
