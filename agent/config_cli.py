"""`voxline config`: see what the settings of this station are, and what is wrong with them."""

import json
from typing import Any

import typer

from agent.errors import SettingsError
from agent.options import ConfigPath, Json
from agent.settings import load, read_origin

app = typer.Typer(help="Check and show the settings of this station.", no_args_is_help=True)


@app.command()
def check(config: ConfigPath = None, as_json: Json = False) -> None:
    """Name every fault with its line, and what `voxline run` would refuse. Exit status 1 if there is any.

    What could run but is hardly meant is a hint, and changes no exit status.
    """
    from agent.preflight import hints, refusals  # the parts that listen are what only this command pays for

    doubts: list[str] = []
    try:
        settings = load(config)
        faults, doubts = refusals(settings, read_origin(config)), hints(settings)
    except SettingsError as error:
        faults = str(error).splitlines()
    if as_json:
        typer.echo(json.dumps({"ok": not faults, "faults": faults, "hints": doubts}, ensure_ascii=False))
    else:
        typer.echo("\n".join([*(faults or ["settings are fine"]), *(f"hint: {doubt}" for doubt in doubts)]))
    raise typer.Exit(1 if faults else 0)


@app.command()
def show(config: ConfigPath = None, as_json: Json = False) -> None:
    """Print the settings that hold, after file, secrets and environment; secrets are masked."""
    settings = load(config).model_dump(mode="json", exclude_none=True)
    typer.echo(json.dumps(settings, indent=2, ensure_ascii=False) if as_json else _toml(settings))


def _toml(tables: dict[str, Any], above: str = "") -> str:
    lines: list[str] = []
    for name, table in tables.items():
        plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
        lines += [f"[{above}{name}]", *(f"{key} = {_value(value)}" for key, value in plain.items()), ""]
        nested = {key: value for key, value in table.items() if isinstance(value, dict)}
        lines += [_toml(nested, f"{above}{name}.")] if nested else []
    return "\n".join(lines)


def _value(value: object) -> str:
    """Write a TOML scalar: JSON's strings, numbers and booleans are TOML's, too."""
    return json.dumps(value, ensure_ascii=False)
