"""`voxline update`: see and steer what a station runs."""

import json
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from agent.errors import UpdateError
from agent.options import ConfigPath, Json
from agent.settings import Settings, load, load_account
from agent.updates import state_file
from agent.updates.actions import Parts, find_documents
from agent.updates.events import Pin, Rollback
from agent.updates.host import AgentHost, describe, open_repository, open_updater
from agent.updates.machine import UP_TO_DATE
from agent.updates.release import decode_all, parse_references
from agent.updates.requests import Request, leave_request
from agent.updates.state import BY_HAND, RESTING, Phase, State, Wanted, Wish
from agent.updates.transports.mqtt import Server
from agent.updates.updater import BusyError, Updater

app = typer.Typer(help="See and steer which model and grammar this station runs.", no_args_is_help=True)

_LEFT = "left for the agent that runs here; `voxline update status` shows what comes of it"


@app.command()
def status(config: ConfigPath = None, as_json: Json = False) -> None:
    """Say what runs, and how the last update went."""
    settings = load(config)
    state = state_file.load(settings.storage.updates)
    if as_json:
        told = describe(state, 0, datetime.now(UTC)).model_dump(mode="json")
        asked = {"wanted": state.wanted, "later": state.later and state.later.wanted}
        told |= {name: wanted and _asked(wanted) for name, wanted in asked.items()}
        typer.echo(json.dumps(told | {"source": settings.updates.source}, indent=1))
    else:
        typer.echo(_text(state, settings))


@app.command()
def check(config: ConfigPath = None, as_json: Json = False) -> None:
    """Ask the repository whether it can be trusted now and what it has for this station; changes nothing."""
    settings = load(config)
    folder = settings.storage.updates
    state = state_file.load(folder)
    with TemporaryDirectory() as copy:
        if (folder / "trust").is_dir():
            _copy(folder / "trust", copy)
        repository = open_repository(settings, Path(copy))
        repository.refresh()
        documents = find_documents(state.wanted, repository) if state.wanted else {}
    found = [release.reference for release in decode_all(documents).values()]
    new = [str(reference) for reference in found if reference not in state.running]
    if as_json:
        typer.echo(json.dumps({"trusted": True, "wanted": list(map(str, found)), "new": new}))
        return
    typer.echo("reached, and its signatures are good")
    typer.echo(f"new here: {', '.join(new)}" if new else "nothing new for this station")


@app.command()
def apply(
    releases: Annotated[
        list[str] | None, typer.Argument(help="Releases, such as model/press/1.2.0 or grammar/press/7.0.1.")
    ] = None,
    follow: Annotated[str, typer.Option(help="Run what this channel says, now and later.")] = "",
    config: ConfigPath = None,
) -> None:
    """Install releases, also such as failed here before; the exit status is 1 if they cannot be had now."""
    if bool(releases) == bool(follow):
        raise UpdateError("name releases, or a channel with --follow")
    wanted = Wanted(parse_references(releases or []), follow)
    _steer(load(config), Wish(wanted, retry=BY_HAND))


@app.command()
def rollback(config: ConfigPath = None) -> None:
    """Go back to the slot before; what runs now is not installed again until `apply` says so."""
    _steer(load(config), Rollback("rolled back by hand"))


@app.command()
def pin(
    off: Annotated[bool, typer.Option("--off", help="Let updates happen again.")] = False,
    config: ConfigPath = None,
) -> None:
    """Let no update happen."""
    _steer(load(config), Pin(not off))


@app.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="Public folder of a repository.")], config: ConfigPath = None
) -> None:
    """Offer a repository at the broker to stations that can reach nothing else, until interrupted."""
    if not (folder / "metadata" / "timestamp.json").exists():
        where = "; give its folder `public`" if (folder / "public").is_dir() else ""
        raise UpdateError(f"{folder}: no repository; it lacks metadata/timestamp.json{where}")
    broker = load_account(config).mqtt
    server = Server(broker, folder)
    try:
        typer.echo(f"waiting for the broker {broker.host}:{broker.port}")
        server.ready.wait()
        typer.echo(f"offering {folder} at {broker.host}:{broker.port}")
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        server.close()


def _steer(settings: Settings, request: Request) -> None:
    """Let the agent that runs do it, or do it here if none runs."""
    folder = settings.storage.updates
    _require_owner(settings.storage.state)
    host = AgentHost(settings, _nobody_listens, None)
    try:
        updater = open_updater(settings, host)
    except BusyError:
        leave_request(folder, request)
        typer.echo(_LEFT)
        return
    try:
        state_file.save(folder, updater.state)  # else it would wait for the disk, for ever
        leave_request(folder, request)
        phase = updater.state.phase
        updater.start(look=isinstance(request, Wish))
        while not _settled(updater):
            if updater.state.phase is not phase:
                phase = updater.state.phase
                typer.echo(f"{phase} {updater.state.reason}".rstrip())
            time.sleep(0.1)
    finally:
        updater.stop()
    typer.echo(_text(updater.state, settings))
    if isinstance(request, Wish) and updater.state.phase in RESTING and updater.state.reason != UP_TO_DATE:
        raise typer.Exit(1)
    if isinstance(request, Rollback) and updater.state.phase is not Phase.ROLLED_BACK:
        raise typer.Exit(1)


def _copy(folder: Path, to: str) -> None:
    """Copy a folder. Raises `UpdateError` that names the file which cannot be read."""
    try:
        shutil.copytree(folder, to, dirs_exist_ok=True, symlinks=True)
    except shutil.Error as error:  # it holds a list: source, destination and reason of each
        raise UpdateError(error.args[0][0][2]) from error


def _require_owner(state: Path) -> None:
    """Leave no files that the agent cannot change.

    Raises:
        UpdateError: names the user who may.
    """
    if state.exists() and state.stat().st_uid != os.geteuid():
        raise UpdateError(f"{state} is {state.owner()}'s: sudo -u {state.owner()} voxline update ...")


def _settled(updater: Updater) -> bool:
    waits = updater.state.phase in RESTING | {Phase.PROBATION, Phase.STAGED}
    return waits and updater.idle


def _nobody_listens(_parts: Parts) -> None:
    """There is no running recognizer to swap: the agent starts with what the link names."""


def _asked(wanted: Wanted) -> dict[str, Any]:
    return {"releases": list(map(str, wanted.releases)), "follow": wanted.follow}


def _text(state: State, settings: Settings) -> str:
    running = ", ".join(map(str, state.running)) or "what the settings name"
    lines = [f"runs      {running}", f"phase     {state.phase}{': ' + state.reason if state.reason else ''}"]
    if state.candidate:
        lines.append(f"candidate {', '.join(map(str, state.candidate.releases))}")
    for word, wanted in (("wanted", state.wanted), ("later", state.later and state.later.wanted)):
        if wanted:
            what = ", ".join(map(str, wanted.releases)) or f"channel {wanted.follow}"
            lines.append(f"{word:9} {what}")
    if state.pinned:
        lines.append("pinned    by hand: `voxline update pin --off` lets updates happen again")
    lines.append(f"source    {settings.updates.source or 'none'}")
    return "\n".join(lines)
