"""One command per step: `python -m models.recipe <step>`; see README.md for their order."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from models.recipe import synthesize
from models.recipe.places import BUNDLES, CACHE, CONVERTER, CORPUS, SPEECH

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Make an acoustic model, step by step. Some measurements are modules of their own, run as "
    "`python -m models.recipe.judge`: judge, fresh, accent, windows, false_accepts, int8, sensitivity, qat.",
)
app.add_typer(synthesize.app, name="synthesize")
SHARES = '{"train/an4": 0.08, "train/libri": 0.1, "train/lj": 0.08, "synth": 0.74}'
MADE = CACHE / "voxline-en-zh"
"""The bundle that is made here; the shipped one is only read."""

Folder = Annotated[Path, typer.Option(help="Corpus folder.")]
Converter = Annotated[Path, typer.Option(help="Python of the converter's environment; `converter` makes it.")]


def _roots() -> dict[str, Path]:
    """Name every folder that holds a manifest: the shared speech, and each batch of synthetic speech."""
    synthetic = {
        f"synth-{path.parent.name}": path.parent for path in sorted(CACHE.glob("synth/*/manifest.tsv"))
    }
    return {"speech": SPEECH, **synthetic}


@app.command()
def corpus(folder: Folder = CORPUS) -> None:
    """List all speech and write its sounds down (`clips.jsonl` for train and dev)."""
    from models.recipe.corpus import find, write_index
    from models.recipe.references import references

    for split in ("train", "dev"):
        clips = find(_roots(), split)
        write_index(clips, folder / split)
        for source in sorted({c.source for c in clips}):
            own = [c.seconds for c in clips if c.source == source]
            print(f"{split} {source}: {len(own)} clips, {sum(own) / 3600:.2f} h")
    (folder / "dev/references.json").write_text(json.dumps([references(clip) for clip in clips]))


@app.command()
def pack(folder: Folder = CORPUS) -> None:
    """Decode the listed speech into one array per split."""
    from models.recipe.corpus import pack as pack_split

    for split in ("train", "dev"):
        pack_split(folder / split, _roots())


@app.command()
def noise(folder: Folder = CORPUS, per_family: int = 40) -> None:
    """Collect ESC-10 and synthesize machine noise."""
    from models.recipe.noise import collect

    collect(SPEECH, folder / "noise", per_family)


@app.command()
def rooms(folder: Folder = CORPUS, count: int = 200) -> None:
    """Collect measured rooms and simulate more."""
    from models.recipe.corpus import save_array
    from models.recipe.rooms import bank

    save_array(bank(SPEECH / "rir", count), folder / "rooms.npy")


@app.command()
def start(folder: Path = CACHE / "moonshine") -> None:
    """Write the dequantized weights of the Moonshine encoder (`encoder.pt`)."""
    import torch

    from models.recipe.moonshine import load

    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"encoder.{k}": v.half() for k, v in load().state_dict().items()}
    torch.save(weights, folder / "encoder.pt")


@app.command()
def train(
    folder: Folder = CORPUS,
    weights: Annotated[Path, typer.Option(help="Weights to begin with.")] = CACHE
    / "moonshine"
    / "encoder.pt",
    out: Annotated[Path, typer.Option(help="Where checkpoints, log and weights go.")] = CACHE
    / "models"
    / "encoder",
    settings: Annotated[str, typer.Option(help="Settings to change, as JSON.")] = "{}",
    shares: Annotated[
        str, typer.Option(help="Share of training that sources get, by start of name, as JSON.")
    ] = SHARES,
    spoken: Annotated[
        list[Path], typer.Option(help="More packed speech, such as `synthesize speak` makes.")
    ] = [],  # noqa: B006
    seed: int = 0,
) -> None:
    """Train end to end; writes `weights.pt` (float16) and `metrics.json`."""
    import torch

    from models.recipe.batches import Data
    from models.recipe.evaluate import PhoneErrors
    from models.recipe.train import Settings, halved, store
    from models.recipe.train import train as run

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    begin = {k: v.float() for k, v in torch.load(weights, map_location=device, weights_only=True).items()}
    errors = PhoneErrors(folder, device)
    data = Data([folder / "train", *spoken], folder, json.loads(shares), device, seed)
    network = run(data, begin, out, Settings(**json.loads(settings)), errors.quick)
    store(halved(network), out / "weights.pt")
    (out / "metrics.json").write_text(json.dumps(errors.full(network), indent=2) + "\n")


@app.command()
def refine(
    folder: Path,
    weights: Annotated[Path, typer.Option(help="Weights of a trained encoder model.")],
    keep: Annotated[float, typer.Option(help="Most loss per sound, in nats, of clips to keep.")] = 1.0,
    variants: Annotated[bool, typer.Option(help="Choose between pronunciations?")] = True,
) -> None:
    """Improve a packed corpus's labels with a trained model; clips that do not fit lose their words."""
    import torch

    from models.recipe.corpus import unpack, write_index
    from models.recipe.network import Network
    from models.recipe.refine import refine as run
    from models.recipe.tokens import TOKENS

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = Network(len(TOKENS)).to(device).eval()
    network.load_state_dict(torch.load(weights, map_location=device, weights_only=True))
    refined = run(network, *unpack(folder), device, variants)
    bad = sum(loss > keep for _, loss in refined)
    print(
        f"{bad} of {len(refined)} clips dropped; median loss {np.median([loss for _, loss in refined]):.3f}"
    )
    write_index([replace(clip, words=[]) if loss > keep else clip for clip, loss in refined], folder)


@app.command()
def distill(
    weights: Annotated[Path, typer.Option(help="Weights of the encoder model that teaches.")],
    folder: Folder = CORPUS,
    out: Annotated[Path, typer.Option(help="Where log and weights go.")] = CACHE / "models" / "tcn",
    shares: Annotated[
        str, typer.Option(help="Share of training that sources get, by start of name, as JSON.")
    ] = SHARES,
    spoken: Annotated[list[Path], typer.Option(help="More packed speech.")] = [],  # noqa: B006
    seconds: float = 3600.0,
    windows: int = 1360,
) -> None:
    """Teach the TCN; writes `weights.pt` (float16) and `metrics.json`. No bundle can be made of them yet."""
    import torch

    from models.recipe.batches import Data
    from models.recipe.distill import distill as run
    from models.recipe.evaluate import PhoneErrors
    from models.recipe.network import Network
    from models.recipe.tokens import TOKENS
    from models.recipe.train import halved, store

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teacher = Network(len(TOKENS)).to(device).eval()
    teacher.load_state_dict(torch.load(weights, map_location=device, weights_only=True))
    errors = PhoneErrors(folder, device)
    data = Data([folder / "train", *spoken], folder, json.loads(shares), device, seed=1)
    student = run(data, teacher, out, seconds, windows, errors.quick)
    store(halved(student), out / "weights.pt")
    (out / "metrics.json").write_text(json.dumps(errors.full(student), indent=2) + "\n")


@app.command()
def export(out: Path, hop: int = 10, look_ahead: int = 12) -> None:
    """Export `weights.pt` of a folder to `model.onnx` beside it."""
    from models.recipe.export import export as run
    from models.recipe.network import Window

    run(out / "weights.pt", out, Window(hop=hop, look_ahead=look_ahead))


@app.command()
def converter(folder: Path = CACHE / "convert-venv") -> None:
    """Install the vendor's converter into an environment of its own (1.5 GB; Python 3.11, x86-64 only)."""
    from models.recipe.convert import install

    install(folder)


@app.command()
def bundle(
    model: Annotated[Path, typer.Argument(help="Folder with an exported model.")],
    out: Annotated[Path, typer.Option(help="The bundle's folder.")] = MADE,
    python: Converter = CONVERTER,
) -> None:
    """Convert an exported model for the RK3568 and seal the bundle; without a converter it is for the CPU."""
    from models.recipe.bundle import build, canary_samples, manifest
    from models.recipe.facts import ENGLISH_MANDARIN

    described = manifest(json.loads((model / "info.json").read_text()), ENGLISH_MANDARIN)
    canary = canary_samples(out, described["window_samples"])
    made, report = build(model, out, described, python if python.exists() else None, canary)
    (model / "conversion.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"{made.manifest.name} {made.manifest.version} in {out}: {json.dumps(report, indent=2)}")


@app.command()
def quantize(
    out: Annotated[Path, typer.Argument(help="Figures, JSON: formats that are in it already stay.")],
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="Try only this one; may be given again.")
    ] = None,
    half: Annotated[
        list[str] | None, typer.Option(help="Stays in float16 in the hybrid, a regular expression.")
    ] = None,
    algorithm: Annotated[str, typer.Option(help="normal, kl_divergence or mmse.")] = "normal",
    trained: Annotated[
        Path | None, typer.Option(help="ONNX model that `python -m models.recipe.qat` wrote.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Take each so manieth order.")] = 4,
    hop: Annotated[int, typer.Option(min=1, help="Frames; more than the bundle's hears less often.")] = 20,
    folder: Annotated[Path, typer.Option("--bundle", help="The bundle.")] = BUNDLES / "voxline-en-zh",
    python: Converter = CONVERTER,
) -> None:
    """Compare number formats on the RK3568, by the orders that are heard in the vendor's simulator."""
    from agent.acoustics.bundle import load_bundle
    from models.recipe import formats as side
    from models.recipe.calibration_data import orders
    from models.recipe.figures import write
    from models.recipe.quantize import STEM, Workplace, recipes

    bundle = load_bundle(folder)
    known = recipes(algorithm, half or STEM, trained)
    figures = side.read(out, bundle, hop * bundle.manifest.frame_samples, every)
    missing = {name: known[name] for name in formats or known if name not in figures.formats}
    if missing:
        bench = side.Bench(bundle, figures.hop_samples, list(orders(SPEECH, side.SNRS_DB, every)), CACHE)
        print(f"{len(bench.windows)} windows", flush=True)
    for name, recipe in missing.items():
        figures.formats[name] = bench.outcome(recipe, Workplace(python, CORPUS))
        write(figures, out)
        print(f"{name}: done", flush=True)
    print(side.table(figures))


@app.command()
def calibrate(
    folder: Annotated[Path, typer.Argument(help="The bundle.")] = MADE,
    grammar_clips: Annotated[
        Path, typer.Option(help="Made by `synthesize plan GRAMMAR ...`, `speak`.")
    ] = CACHE / "grammar-dev",
    talk: Annotated[Path, typer.Option(exists=True, help="Made by `synthesize negatives`.")] = CACHE / "talk",
) -> None:
    """Fit penalties, probability and thresholds on dev speech; writes the bundle's operating points."""
    from agent.acoustics.bundle import load_bundle, seal_bundle
    from agent.acoustics.engines.onnx import OnnxEngine
    from models.recipe import calibrate as fit
    from models.recipe.calibration_data import Listening
    from models.recipe.examples import hear
    from models.recipe.mandarin import Mandarin

    bundle = load_bundle(folder)
    listening = Listening(bundle, OnnxEngine(bundle), SPEECH, CACHE)
    orders = list(listening.orders())
    base = fit.choose_penalties(orders, bundle.manifest.operating_points.normal, print)
    heard = hear(listening, base, orders, grammar_clips, talk)
    print(f"{len(heard.orders)} readings of {len(orders)} orders")
    print(f"{len(heard.near)} of {heard.near_total} near misses")
    print(f"{len(heard.other)} of {heard.hours:.2f} h without a command")
    weights = fit.fit_weights([*heard.orders, *heard.near, *heard.other, *heard.more])
    weights["mandarin"] = fit.shift(weights, list(Mandarin(listening).examples(base)))
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]
    manifest["operating_points"] = fit.operating_points(base, weights)
    manifest["calibration_curve"] = fit.trade_off(
        weights, len(orders), heard.orders, heard.near, heard.near_total, heard.other, heard.hours
    )
    print(f"sealed {seal_bundle(folder, manifest).digest}")


@app.command()
def peers(
    out: Annotated[Path, typer.Argument(help="Figures, JSON: engines that are not run anew keep theirs.")],
    engines: Annotated[list[str] | None, typer.Option(help="Run only this one; may be given again.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Take each so manieth order.")] = 1,
    picture: Annotated[Path | None, typer.Option(help="Draw accuracy against SNR (SVG or PNG).")] = None,
    folder: Annotated[Path, typer.Option("--bundle", help="The bundle.")] = BUNDLES / "voxline-en-zh",
) -> None:
    """Compare a bundle with PocketSphinx and Moonshine on dev speech; what they heard is kept."""
    from agent.acoustics.bundle import load_bundle
    from models.recipe.calibration_data import SNRS_DB, orders
    from models.recipe.figures import write
    from models.recipe.peers import compare, report
    from models.recipe.peers.spelling import spelled

    bundle = load_bundle(folder)
    grammars = compare.Grammars.of(bundle.manifest.tokens)
    figures = report.begun(out, bundle)
    for name in engines or compare.NAMES:
        engine = compare.contestant(name, grammars.coffee, bundle, CACHE)
        figures.orders[name] = compare.count_orders(engine, orders(SPEECH, SNRS_DB, every))
        if name == "moonshine":
            for limit, (exact, wrong) in compare.by_limit(engine, orders(SPEECH, (None, 6.0), every)).items():
                print(f"as far as {limit}, clean and 6 dB: {exact} exact, {wrong} wrong")
        engine = compare.contestant(name, grammars.an4, bundle, CACHE)
        figures.spelled[name] = compare.count_words(engine, spelled(SPEECH))
        if name == "moonshine":
            listener, lexicon = compare.remembered(name, grammars.an4, CACHE), grammars.an4.lexicon
            figures.free_text[name] = compare.count_free_words(listener, lexicon, spelled(SPEECH))
        write(figures, out)
        print(f"{name}: done")
    if not engines:  # computing times are compared in one run of all
        clips = sorted((SPEECH / "dev/coffee").glob("*.opus"))[::20]
        figures.cost = compare.cost(compare.NAMES, grammars.coffee, bundle, clips)
        write(figures, out)
    print(report.tables(figures))
    if picture:
        report.draw(figures, picture)


@app.command()
def adapt(
    recordings: Annotated[Path, typer.Option(help="Folder with recordings.tsv and the files that it names.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle.")],
    version: Annotated[str, typer.Option(help="Of the new bundle, such as 0.1.1+lyon.")],
    folder: Annotated[Path, typer.Option("--bundle", help="The bundle in use.")] = BUNDLES / "voxline-en-zh",
    grammar: Annotated[
        Path | None, typer.Option(help="The site's grammar: checks the sentences, and judges commands too.")
    ] = None,
    settings: Annotated[str, typer.Option(help="Settings to change, as JSON.")] = "{}",
    python: Converter = CONVERTER,
) -> None:
    """Adapt a bundle to a site's recordings, if those held back and the golden set speak for it.

    Without a converter the new bundle is for the CPU alone.
    """
    from agent.acoustics.bundle import load_bundle
    from agent.errors import VoxlineError
    from agent.grammar import load_grammar
    from models.recipe.adapt import Settings
    from models.recipe.recordings import read_recordings
    from models.recipe.site import adapt_bundle

    try:
        said = read_recordings(recordings, load_grammar(grammar) if grammar else None)
        outcome = adapt_bundle(
            load_bundle(folder),
            said,
            grammar,
            out,
            version,
            python if python.exists() else None,
            Settings(**json.loads(settings)),
            partial(print, flush=True),
        )
    except VoxlineError as error:
        print(f"refused: {error}")
        raise typer.Exit(1) from error
    made = outcome.bundle.manifest
    place = "CPU and NPU" if made.npu else "the CPU alone: no converter at " + str(python)
    print(f"{made.name} {made.version} in {out}, for {place}; digest {outcome.bundle.digest}")


if __name__ == "__main__":
    app()
