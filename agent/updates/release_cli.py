"""`voxline release`: make signed releases of models and grammars, and publish them."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from agent.errors import UpdateError
from agent.options import Json
from agent.updates.keys import make_key
from agent.updates.pack import pack_grammar, pack_model
from agent.updates.release import Channel, Limits, Reference, parse_references
from agent.updates.repository import ReleaseRepository

app = typer.Typer(help="Make signed releases of models and grammars.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Folder of the repository.")]
Keys = Annotated[
    list[str],
    typer.Option(help="URI of a key, such as file2:root.pem; of one in a device or cloud URI,PUBLIC.pem."),
]
Role = Annotated[str, typer.Option(help="Who answers for it; other than `targets` if it was delegated.")]
Threshold = Annotated[int, typer.Option(min=1, help="How many of the keys must sign.")]
NewThreshold = Annotated[
    int | None,
    typer.Option(min=1, help="How many of the keys must sign.", show_default="as many as now, at first 1"),
]


@app.command()
def key(path: Annotated[Path, typer.Argument(help="Where to write it.")]) -> None:
    """Make an ed25519 key in a PEM file."""
    typer.echo(make_key(path))


@app.command()
def init(
    folder: Folder,
    root: Keys,
    targets: Keys,
    online: Keys,
    root_threshold: Threshold = 1,
    targets_threshold: Threshold = 1,
) -> None:
    """Make a repository; root and targets keys belong offline."""
    keys = {"root": root, "targets": targets, "snapshot": online, "timestamp": online}
    thresholds = {"root": root_threshold, "targets": targets_threshold}
    ReleaseRepository.create(folder, keys, thresholds)
    typer.echo(f"{folder}: made; once root and targets are signed, `voxline release publish` opens it")


@app.command()
def add(
    folder: Folder,
    what: Annotated[Path, typer.Argument(help="Folder of a model bundle, or file of a grammar.")],
    version: Annotated[str, typer.Option(help="Of a grammar; a bundle says its own.")] = "",
    min_agent: Annotated[str, typer.Option(help="Oldest Voxline that can run it.")] = "0.0.0",
    max_latency_ms: Annotated[
        float | None, typer.Option(min=0.1, max=10_000, help="Of a bundle's engine, p95.")
    ] = None,
    max_memory_mb: Annotated[
        float | None, typer.Option(min=1, max=1_000_000, help="Of a bundle, on a station.")
    ] = None,
    role: Role = "targets",
) -> None:
    """Stage a release."""
    if (max_latency_ms is None) != (max_memory_mb is None):
        raise UpdateError("limits come together: give --max-latency-ms and --max-memory-mb, or neither")
    if what.is_dir() and version:
        raise UpdateError(
            f"{what}: a bundle is released under the version in its manifest.json, not --version"
        )
    if max_latency_ms is not None and not what.is_dir():
        raise UpdateError(f"{what}: limits are for a bundle; a grammar has none")
    limits = None
    if max_latency_ms is not None and max_memory_mb is not None:
        limits = Limits(latency_p95_s=max_latency_ms / 1000, memory_bytes=round(max_memory_mb * 1e6))
    packed = pack_model(what, min_agent, limits) if what.is_dir() else pack_grammar(what, version, min_agent)
    with ReleaseRepository(folder).alone() as repository:
        digest = repository.add(*packed, role)
    typer.echo(f"{packed[0].reference} staged, {packed[0].size_bytes} bytes, digest {digest}")


@app.command()
def reissue(
    folder: Folder,
    release: Annotated[str, typer.Argument(help="The older one that should run again.")],
    version: Annotated[str, typer.Argument(help="Under which; above all that were released.")],
    role: Role = "targets",
) -> None:
    """Stage a newer release of the files of an older one: stations go back by going on."""
    with ReleaseRepository(folder).alone() as repository:
        made = repository.reissue(Reference.parse(release), version, role)
    typer.echo(f"{made} staged: the files of {release}")


@app.command()
def channel(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="Such as `stable`.")],
    releases: Annotated[list[str], typer.Argument(help="A model and a grammar, or one of them.")],
    role: Role = "targets",
) -> None:
    """Stage what stations that follow a channel should run."""
    parse_references(releases)
    with ReleaseRepository(folder).alone() as repository:
        repository.set_channel(name, Channel(releases=tuple(releases)), role)
    typer.echo(f"channel {name} staged: {', '.join(releases)}")


@app.command()
def withdraw(
    folder: Folder,
    release: Annotated[str, typer.Argument(help="Such as model/press/1.2.0.")],
    role: Role = "targets",
) -> None:
    """Take a release back: no station will install it any more."""
    with ReleaseRepository(folder).alone() as repository:
        repository.withdraw(Reference.parse(release).target, role)
    typer.echo(f"{release} is out of the staged {role}")


@app.command()
def delegate(folder: Folder, role: str, paths: list[str], keys: Keys, threshold: NewThreshold = None) -> None:
    """Let other keys answer for some releases, such as a plant's for `grammar/lyon-*/*`."""
    with ReleaseRepository(folder).alone() as repository:
        repository.delegate(role, paths, keys, threshold)
    typer.echo(f"{role} staged for {', '.join(paths)}")


@app.command()
def rotate(
    folder: Folder,
    role: Annotated[
        str, typer.Argument(help="root, targets, snapshot or timestamp; the online key signs the last two.")
    ],
    keys: Keys,
    threshold: NewThreshold = None,
) -> None:
    """Give a role new keys; the old ones count no more. With the keys that it has it is renewed."""
    with ReleaseRepository(folder).alone() as repository:
        repository.rotate(role, keys, threshold)
    typer.echo(f"{role}: new keys staged; the old and the new root keys must sign root")


@app.command()
def sign(
    folder: Folder,
    role: Annotated[str, typer.Argument(help="root, targets or a delegated role.")],
    key: Annotated[str | None, typer.Option(help="URI of the key; else all that this machine knows.")] = None,
) -> None:
    """Sign what is staged."""
    with ReleaseRepository(folder).alone() as repository:
        missing = repository.sign(role, key)
    typer.echo(f"{role}: " + (f"{missing} signatures are still missing" if missing else "signed by enough"))


@app.command()
def publish(folder: Folder) -> None:
    """Publish what is staged and signed; also keeps snapshot and timestamp fresh, so run it daily."""
    with ReleaseRepository(folder).alone() as repository:
        published = repository.publish()
    typer.echo(f"published {', '.join([*published, 'snapshot', 'timestamp'])} in {repository.public}")


@app.command(name="expire-soon")
def expire_soon(
    folder: Folder,
    days: Annotated[float, typer.Option(min=0, max=36_500, help="How soon is soon.")] = 14.0,
    as_json: Json = False,
) -> None:
    """Name metadata that expires soon; the exit status is 1 if there is any."""
    soon = ReleaseRepository(folder).expiring(timedelta(days=days))
    if as_json:
        typer.echo(json.dumps({role: when.isoformat() for role, when in soon.items()}))
    else:
        lines = [f"{role} expires on {when:%Y-%m-%d %H:%M} UTC" for role, when in soon.items()]
        typer.echo("\n".join(lines) or f"nothing expires within {days:g} days")
    raise typer.Exit(1 if soon else 0)


@app.command()
def show(folder: Folder, as_json: Json = False) -> None:
    """Name releases and channels, who answers for each, and what still waits for signatures."""
    repository = ReleaseRepository(folder)
    contents, staged = repository.contents(), repository.staged()
    if as_json:
        typer.echo(json.dumps({"contents": contents, "staged": staged}, indent=1))
        return
    for path, role in sorted(contents.items()):
        typer.echo(f"{path.removesuffix('.json')}  by {role}")
    for role, missing in staged.items():
        lacks = f"{missing} signatures missing" if missing else "signed by enough"
        typer.echo(f"{role} is staged, {lacks}")
