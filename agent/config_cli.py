"""`voxline config`: see what the settings of this station are, and what is wrong with them."""

import json
from typing import Any

import typer

from agent.errors import SettingsError
from agent.options import ConfigPath, Json
from agent.settings import Settings, load

app = typer.Typer(help="Check and show the settings of this station.", no_args_is_help=True)


@app.command()
def check(config: ConfigPath = None, as_json: Json = False) -> None:
    """Name every fault with its line, and files that the settings name but nobody has."""
    try:
        faults = missing_files(load(config))
    except SettingsError as error:
        faults = str(error).splitlines()
    if as_json:
        typer.echo(json.dumps({"ok": not faults, "faults": faults}, ensure_ascii=False))
    else:
        typer.echo("\n".join(faults) or "settings are fine")
    raise typer.Exit(1 if faults else 0)


@app.command()
def show(config: ConfigPath = None, as_json: Json = False) -> None:
    """Print the settings that hold, after file, secrets and environment; secrets are masked."""
    settings = load(config).model_dump(mode="json", exclude_none=True)
    typer.echo(json.dumps(settings, indent=2, ensure_ascii=False) if as_json else _toml(settings))


def missing_files(settings: Settings) -> list[str]:
    """Name each file that the settings point to and that is not there."""
    wanted = {
        "[audio] path": getattr(settings.audio, "path", None),
        "[recognition] grammar": settings.recognition.grammar,
        "[recognition] bundle": settings.recognition.bundle,
        "[updates] root": settings.updates.root if settings.updates.source else None,
    }
    for section, tls in {"mqtt": settings.mqtt.tls, "updates": settings.updates.tls}.items():
        if tls:
            files = {"ca": tls.ca, "certificate": tls.certificate, "key": tls.key}
            wanted |= {f"[{section}.tls] {key}": path for key, path in files.items()}
    return [f"{name}: no such file: {path}" for name, path in wanted.items() if path and not path.exists()]


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
