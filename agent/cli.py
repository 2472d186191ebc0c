"""The commands a person types; each calls one function elsewhere."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent.acoustics.cli import app as model
from agent.audio.cli import app as audio
from agent.commands.cli import app as audit
from agent.config_cli import app as config
from agent.errors import VoxlineError
from agent.evaluation.cli import app as evaluate
from agent.grammar.cli import app as grammar
from agent.logs import configure_logging
from agent.messaging.cli import app as contract
from agent.options import ConfigPath
from agent.settings import load
from agent.updates.cli import app as update
from agent.updates.release_cli import app as release

app = typer.Typer(
    help="Voxline: voice control for factory machines. Voice is never a safety function.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for name, commands in {
    "audio": audio,
    "audit": audit,
    "config": config,
    "contract": contract,
    "evaluate": evaluate,
    "grammar": grammar,
    "model": model,
    "release": release,
    "update": update,
}.items():
    app.add_typer(commands, name=name)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"voxline {version('voxline')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options of all commands."""


@app.command()
def run(config: ConfigPath = None) -> None:
    """Run the agent until SIGTERM; SIGHUP reads the grammar anew."""
    from agent.app import App, handle_signals  # starting is what only this command pays for

    settings = load(config)
    configure_logging(settings.logging.level, settings.logging.format)
    station = App(settings)
    handle_signals(station)
    station.run()


@app.command()
def demo(
    mic: Annotated[bool, typer.Option("--mic", help="Listen to the real microphone.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Also write what is shown as a picture (SVG).")] = None,
) -> None:
    """Play bundled utterances through the whole agent and show what a SCADA system receives."""
    try:
        from agent.demo.run import run_demo, run_microphone
    except ModuleNotFoundError as error:
        raise VoxlineError(f"the demonstration needs {error.name}: pip install 'voxline[demo]'") from error
    from agent.demo.show import write_picture

    configure_logging(level="error")
    console = Console(width=max(142, Console().width) if picture is None else 142, record=picture is not None)
    if mic:
        run_microphone(console)
    good = mic or run_demo(console)
    if picture:
        write_picture(console, picture)
    if not good:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; an error that we raise on purpose is a message, not a traceback."""
    configure_logging("warning")  # on standard error: what is printed is for scripts; `run` sets its own
    try:
        app()
    except VoxlineError as error:
        print(f"error[{error.code}]: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except OSError as error:  # it names the file, or what the network lacks
        print(f"error[system]: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
