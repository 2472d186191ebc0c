"""The commands a person types; each calls one function elsewhere."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.errors import VoxlineError

app = typer.Typer(
    help="Voxline: voice control for factory machines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    """Run the command line; an error that we raise on purpose is a message, not a traceback."""
    try:
        app()
    except VoxlineError as error:
        print(f"error[{error.code}]: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
