"""`voxline audit`: read the record of every decision, and prove that nobody changed it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agent.commands import verify as audit
from agent.commands.chain import Entry
from agent.options import ConfigPath, Json
from agent.settings import load

app = typer.Typer(help="The record of every decision.", no_args_is_help=True)

Directory = Annotated[
    Path | None,
    typer.Option("--dir", help="Directory of the log.", show_default="audit/ below [storage] state"),
]


@app.command()
def verify(
    directory: Directory = None,
    config: ConfigPath = None,
    expect: Annotated[str | None, typer.Option(help="Hash of an entry that must be there.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check that no entry was changed, added or removed. Exit status 1 if one was."""
    found = audit.verify(directory or _of_settings(config), expect)
    if as_json:
        typer.echo(json.dumps({"ok": not found.faults, **asdict(found)}))
    else:
        for fault in found.faults:
            typer.echo(fault)
        verdict = f"{len(found.faults)} faults" if found.faults else "whole"
        typer.echo(f"{found.entries} entries from {found.first}: {verdict}; newest {found.head}")
        if found.unfinished_bytes:
            typer.echo(f"{found.unfinished_bytes} bytes after it are no entry yet")
    if found.faults:
        raise typer.Exit(1)


@app.command()
def tail(
    directory: Directory = None,
    config: ConfigPath = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many entries.")] = 20,
    *,
    as_json: Json = False,
) -> None:
    """Print the newest entries, oldest first."""
    for entry in audit.tail(directory or _of_settings(config), count):
        typer.echo(json.dumps(asdict(entry), ensure_ascii=False) if as_json else _line(entry))


def _of_settings(config: Path | None) -> Path:
    return load(config).storage.audit


def _line(entry: Entry) -> str:
    fields = {key: value for key, value in entry.fields.items() if value not in (None, "", {})}
    time, kind = fields.pop("time", "?"), fields.pop("kind", "?")
    rest = " ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in fields.items())
    return f"{entry.sequence} {time} {kind} {rest}"
