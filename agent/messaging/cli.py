"""`voxline contract`: what a station says and obeys over MQTT."""

import typer

from agent.messaging import asyncapi

app = typer.Typer(help="Show what a station says and obeys over MQTT.", no_args_is_help=True)


@app.callback()
def _contract() -> None:
    """Keep `asyncapi` a word of its own: typer would drop it while it is the only command."""


@app.command("asyncapi")
def print_asyncapi() -> None:
    """Print the contract as an AsyncAPI 3 document (YAML)."""
    typer.echo(asyncapi.text(), nl=False)
