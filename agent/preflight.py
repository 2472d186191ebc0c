"""Before the agent starts: would it, with these settings?"""

import contextlib
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from agent.acoustics.bundle import load_bundle
from agent.acoustics.engines.choose import ChosenEngine
from agent.audio.portaudio import choose, portaudio
from agent.commands.fit import require_fit
from agent.errors import AudioError, SettingsError, VoxlineError
from agent.grammar.fault import refuse_errors
from agent.grammar.lint import check
from agent.grammar.load import load_grammar
from agent.messaging.tls import tls_context
from agent.panel.lamp import LEDS
from agent.panel.panel import require_packages
from agent.settings import AudioFile, GpioLine, Led, Microphone, Mqtt, Panel, Settings, Stdin, Tls
from agent.settings_faults import Origin, name_of
from agent.station import open_source
from agent.updates import state_file
from agent.updates.host import open_repository
from agent.updates.release import Kind

TLS_PORT = 8883
"""Registered for MQTT over TLS."""


def refusals(settings: Settings, origin: Origin) -> list[str]:
    """Say what the agent could not start or work with, found by the functions that it starts with itself.

    Nothing stays written, no port is taken and no lock, so that the agent may run meanwhile.

    Args:
        settings: of this station.
        origin: what they were made of; each fault names its place there.
    """
    faults: list[str] = []
    noted = partial(_noted, faults, origin)
    recognition, tokens = settings.recognition, None
    with noted("recognition", "bundle"):
        bundle = load_bundle(recognition.bundle)
        tokens = bundle.manifest.tokens
        with noted("recognition", "engine"):
            ChosenEngine(bundle, recognition.engine).close()
    with noted("recognition", "grammar"):
        grammar = load_grammar(recognition.grammar)
        refuse_errors(check(grammar, tokens))
        require_fit(settings.commands, grammar)
    with noted("audio"):
        open_source(settings).close()
    with noted("panel"):
        require_packages(settings.panel)
    with noted("storage", "state"):
        storage = settings.storage
        for folder in (storage.state, storage.audit, storage.updates):
            _require_writable(folder)
    for section, tls in {"mqtt": settings.mqtt.tls, "updates": settings.updates.tls}.items():
        if tls:
            with noted(section, "tls", "ca"):
                _require_readable(tls.ca)
                tls_context(Tls(ca=tls.ca))
            with noted(section, "tls", "certificate"):
                _require_readable(tls.certificate, tls.key)
                tls_context(Tls(certificate=tls.certificate, key=tls.key))
    if settings.updates.source:
        with noted("updates", "root"):
            open_repository(settings, settings.storage.updates).transport.close()
    return faults


def hints(settings: Settings) -> list[str]:
    """Say what the agent would start with, but what is hardly meant."""
    return [
        *_hints_at_link(settings.mqtt),
        *_hints_at_arming(settings),
        *_hints_at_microphone(settings.audio),
        *_hints_at_panel(settings.panel),
        *_hints_at_updates(settings),
    ]


def _hints_at_link(mqtt: Mqtt) -> Iterator[str]:
    if mqtt.port == TLS_PORT and not mqtt.tls:
        yield (
            f"[mqtt] port = {TLS_PORT} is for encrypted links, but there is no [mqtt.tls]: "
            "add the table, or set port = 1883"
        )
    if mqtt.username and not (mqtt.password or (mqtt.tls and mqtt.tls.certificate)):
        yield (
            f'[mqtt] username = "{mqtt.username}" has neither password nor certificate: '
            "put the secret file mqtt__password in place, or leave username out"
        )


def _hints_at_arming(settings: Settings) -> Iterator[str]:
    with contextlib.suppress(VoxlineError, OSError):  # a refusal names what is wrong with it
        if settings.commands.arming == "open" and load_grammar(settings.recognition.grammar).wake:
            yield (
                '[commands] arming = "open" obeys every sentence, also without the wake phrase: '
                'set arming = "wake" unless that is meant'
            )


def _hints_at_microphone(audio: Microphone | AudioFile | Stdin) -> Iterator[str]:
    if not isinstance(audio, Microphone):
        return
    try:
        devices = portaudio().devices()
    except AudioError:  # a missing library, which is refused
        return
    try:
        choose(devices, audio.device)
    except AudioError as error:
        yield f"[audio] device: {error}"


def _hints_at_panel(panel: Panel) -> Iterator[str]:
    for what, part in {"button": panel.button, "lamp": panel.lamp}.items():
        if isinstance(part, GpioLine) and not part.chip.exists():
            yield f'[panel.{what}] chip = "{part.chip}" is not there: `gpiodetect` lists what is'
        if isinstance(part, Led) and not (LEDS / part.name).exists():
            there = ", ".join(sorted(led.name for led in LEDS.glob("*"))) or "none"
            yield f'[panel.{what}] name = "{part.name}" is not in {LEDS}; there: {there}'


def _hints_at_updates(settings: Settings) -> Iterator[str]:
    if not settings.updates.source:
        return
    with contextlib.suppress(OSError):
        for release in state_file.load(settings.storage.updates).running:
            setting = "grammar" if release.kind is Kind.GRAMMAR else "bundle"
            yield f"[recognition] {setting} stands back: an update has installed {release}"


@contextlib.contextmanager
def _noted(faults: list[str], origin: Origin, *keys: str) -> Iterator[None]:
    """Add what is refused within to `faults`, a line for each, with the place and name of the setting."""
    try:
        yield
    except (VoxlineError, OSError) as error:
        told = str(error)
        if isinstance(error, OSError) and error.filename:
            told = f"{error.filename}: {error.strerror}"
        faults += [f"{origin.place(keys)}: {name_of(keys)}: {line}" for line in told.splitlines()]


def _require_readable(*paths: Path | None) -> None:
    """Raise `OSError`, which names the file, where one is missing or may not be read."""
    for path in filter(None, paths):
        path.open("rb").close()


def _require_writable(folder: Path) -> None:
    """Refuse a folder that this user may not write to; what is missing the agent makes, in the one above."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        advice = "the agent's user must be able to write there"
        raise SettingsError(f"{there}: {error.strerror}; {advice}") from error
