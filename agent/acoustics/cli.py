"""`voxline model`: what a bundle is, what the NPU makes of it, and how fast it runs here."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from agent.acoustics.bundle import load_bundle, reseal_bundle
from agent.acoustics.engines.board import COMPATIBLE, find_npu
from agent.acoustics.manifest import Manifest
from agent.acoustics.profile import profile_layers
from agent.acoustics.support import (
    PREDICTION_SOURCE,
    SupportReport,
    TargetSupport,
    fresh_report,
    store_report,
    stored_report,
)
from agent.audio.source import SAMPLE_RATE_HZ
from agent.options import Json

app = typer.Typer(help="Model bundles: verify, explain, measure.", no_args_is_help=True)

CACHE = Path(os.environ.get("VOXLINE_CACHE", Path.home() / ".cache" / "voxline"))

Folder = Annotated[Path, typer.Argument(help="Folder of a model bundle.")]


@app.command()
def info(bundle: Folder, *, as_json: Json = False) -> None:
    """Verify every file of a bundle and say what it is."""
    loaded = load_bundle(bundle)
    if as_json:
        typer.echo(json.dumps({"digest": loaded.digest, **loaded.manifest.model_dump(mode="json")}, indent=2))
    else:
        typer.echo(_describe(loaded.manifest) + f"\nwhole and undamaged, digest {loaded.digest}")


@app.command()
def seal(bundle: Folder) -> None:
    """Take over files that you changed, added or removed: write their hashes into the manifest."""
    sealed = reseal_bundle(bundle)
    typer.echo(f"{len(sealed.manifest.files)} files, digest {sealed.digest}")


@app.command()
def check(
    bundle: Folder,
    *,
    convert: Annotated[
        Path | None,
        typer.Option(
            help="Convert now with this Python, which has the vendor's toolkit, not read the report."
        ),
    ] = None,
    store: Annotated[
        bool, typer.Option("--store", help="Convert now, and keep the report in the bundle.")
    ] = False,
    layers: Annotated[bool, typer.Option("--layers", help="List every layer.")] = False,
    as_json: Json = False,
) -> None:
    """Say which layers run on the NPU and which do not, for RK3566, RK3568 and RK3588."""
    loaded = load_bundle(bundle)
    report = None if convert or store else stored_report(loaded)
    if report is None:
        report = fresh_report(loaded, convert or CACHE / "convert-venv" / "bin" / "python")
    if store:
        store_report(loaded, report)
    typer.echo(report.model_dump_json(indent=2) if as_json else _support_text(report, layers))


@app.command()
def profile(bundle: Folder, *, as_json: Json = False) -> None:
    """Measure every layer on the NPU of this board."""
    loaded = load_bundle(bundle)
    npu = find_npu()
    if npu is None:
        typer.echo(
            f"{COMPATIBLE} names no Rockchip NPU, so there is nothing to measure here: run this on the board."
            " `voxline model check` predicts from the compiler's cycles.",
            err=True,
        )
        raise typer.Exit(1)
    run_ms, table = profile_layers(loaded, npu)
    if as_json:
        typer.echo(json.dumps({"npu": npu, "run_ms": run_ms, "table": table}))
    else:
        typer.echo(f"{npu}: {run_ms:.2f} ms per window, median\n{table}")


def _describe(m: Manifest) -> str:
    def ms(samples: int) -> str:
        return f"{1000 * samples / SAMPLE_RATE_HZ:g} ms"

    return "\n".join(
        (
            f"{m.name} {m.version}, {m.family}, {' and '.join(m.languages)}, {len(m.tokens)} tokens",
            f"hears {ms(m.window_samples)} every {ms(m.hop_samples)}, a frame per {ms(m.frame_samples)},"
            f" look-ahead {ms(m.look_ahead_samples)}, {m.front_end.kind}",
            f"trained on {m.training.hours:g} h: {m.training.summary}",
            f"licence {m.rights.licence}",
            *(f"  {line}" for line in m.rights.attribution),
            *(f"{entry.size_bytes:>12,} bytes  {name}" for name, entry in m.files.items()),
        )
    )


def _support_text(report: SupportReport, every_layer: bool) -> str:
    head = f"toolkit {report.toolkit}; {report.settings}"
    return "\n\n".join(
        (head, *(_target_text(target, every_layer) for target in report.targets), PREDICTION_SOURCE)
    )


def _target_text(target: TargetSupport, every_layer: bool) -> str:
    low, high = target.predicted_ms
    elsewhere = Counter(f"{layer.kind} ({layer.place})" for layer in target.layers if layer.place != "NPU")
    unknown = sum(layer.cycles == 0 for layer in target.layers)
    off = sum(elsewhere.values())
    lines = [
        f"{target.target}: {len(target.layers) - off} of {len(target.layers)} layers on the NPU",
        *(f"  {count:>3} x {kind}" for kind, count in elsewhere.most_common()),
        f"  weights {target.weight_kb:,.0f} KB, memory between layers {target.memory_kb:,.0f} KB",
        f"  {target.cycles:,} cycles, predicted {low:.2f} to {high:.2f} ms per window",
    ]
    if unknown:
        lines.append(f"  {unknown} layers have no estimate (element-wise, norms, CPU) and come on top")
    if every_layer:
        lines += [
            f"  {layer.place:<4}{layer.kind:<14}{layer.dtype:<9}{layer.output_shape:<18}"
            f"{layer.weight_bytes / 1024:>9.1f} KB{layer.cycles:>10} cycles  {layer.name}"
            for layer in target.layers
        ]
    return "\n".join(lines)
