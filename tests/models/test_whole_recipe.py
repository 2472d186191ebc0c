"""The commands of `models/recipe/README.md`, run as they stand there, with less of everything."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
pytest.importorskip("moonshine_voice", reason="weights to begin with are in moonshine-voice (extra `train`)")

from agent.acoustics.bundle import load_bundle  # noqa: E402
from agent.acoustics.engines.onnx import OnnxEngine  # noqa: E402
from agent.evaluation.commands import Verdict  # noqa: E402
from models.recipe.calibration_data import Listening  # noqa: E402
from models.recipe.mandarin import COMMANDS, Mandarin  # noqa: E402
from models.recipe.places import SPEECH  # noqa: E402
from models.recipe.restore import restore  # noqa: E402

REPOSITORY = Path(__file__).parents[2]
GUIDE = REPOSITORY / "models/recipe/README.md"
SHIPPED = REPOSITORY / "models/bundles/voxline-en-zh"
needs_speech = pytest.mark.skipif(
    not (SPEECH / "manifest.tsv").exists(), reason=f"no shared speech at {SPEECH}"
)
KOKORO = Path(os.environ.get("VOXLINE_CACHE", "~/.cache/voxline")).expanduser() / "kokoro"

LESS = {
    "synthesize fetch": None,  # 120 MB
    "converter": None,  # 1.5 GB; without it the bundle is for the CPU
    "quantize": None,  # needs the converter
    "peers": None,  # tests/models/test_peers.py
    "int8": None,  # there as well
    "synthesize golden": None,  # ten minutes; the shipped one is of the same make
    "synthesize plan": "--count 4",
    "synthesize speak": "--limit 4",
    "fresh": None,  # tests/models/test_judge.py
    "synthesize negatives": None,  # tests/models/test_negatives.py
    "false_accepts": None,  # tests/models/test_false_accepts.py
    "noise": "--per-family 1",
    "rooms": "--count 1",
    "train": """--settings '{"steps": 1, "windows": 17}' --shares '{"train/": 1}'""",
}
"""What each step is given besides, by its name; None: it is not run."""
TAKEN = {"train/an4/": 6, "train/libri/": 1, "dev/coffee/": 1, "007_helicopter": 1, "003_sea_waves": 1}
"""So many recordings of each folder of the real speech, and of the Mandarin those with these texts."""
MANDARIN = {"想听歌曲红豆", "想听歌曲剑心", "设定三十度", "崇明岛", "绍兴饭店", "在如此巨大的压力下"}


def documented() -> list[str]:
    """Return the commands of the guide, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("python -m")]


def name_of(command: str) -> str:
    """Return the step of a command, such as `synthesize plan`."""
    _, _, module, *words = shlex.split(command)
    if module != "models.recipe":
        return module.removeprefix("models.recipe.")
    return " ".join(words[:2] if words[0] == "synthesize" else words[:1])


def little_speech(folder: Path) -> None:
    """Link a few of the real recordings into a folder of the same shape."""
    with (SPEECH / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    long = [row for row in rows if row[1] == "noise" or float(row[4]) > 2]
    chosen = [row for part, count in TAKEN.items() for row in [r for r in long if part in r[0]][:count]]
    chosen += [row for row in rows if row[-1] in MANDARIN]
    for row in chosen:
        (folder / row[0]).parent.mkdir(parents=True, exist_ok=True)
        (folder / row[0]).symlink_to(SPEECH / row[0])
    lines = ["\t".join(row) for row in (header, *chosen)]
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    labels = json.loads((SPEECH / "dev/coffee/labels.json").read_text("utf-8"))
    ordered = {Path(row[0]).name for row in chosen}
    few = {name: label for name, label in labels.items() if name in ordered}
    (folder / "dev/coffee/labels.json").write_text(json.dumps(few))
    (folder / "rir").mkdir()
    (folder / "rir/room.wav").symlink_to(SPEECH / "rir/ir_bathroom1.wav")


def golden_clips(folder: Path) -> None:
    """Lay golden utterances where synthetic ones would be spoken: for machines that have no synthesizer."""
    golden = SHIPPED / "golden"
    labels = json.loads((golden / "labels.json").read_text("utf-8"))
    rejects = json.loads((golden / "rejects.json").read_text("utf-8"))
    folder.mkdir()
    lines = ["\t".join(("path", "kind", "label"))]
    for name in [*sorted(labels)[:4], *rejects]:
        kind = "grammar/demo" if name in labels else "near/demo"
        lines.append("\t".join((name, kind, json.dumps(labels.get(name)))))
        shutil.copy(golden / name, folder)
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@needs_speech
def test_from_an_empty_cache_to_a_calibrated_bundle(tmp_path: Path) -> None:
    cache, speech = tmp_path / "cache", tmp_path / "speech"
    little_speech(speech)
    (cache / "voxline-en-zh").mkdir(parents=True)
    shutil.copytree(SHIPPED / "golden", cache / "voxline-en-zh/golden")
    (cache / "talk").mkdir()
    shutil.copy(SHIPPED / "golden/49-i-think-peter-moved-the-pallets-after-lunch.opus", cache / "talk")
    commands = documented()
    if (KOKORO / "model.onnx").exists():
        (cache / "kokoro").symlink_to(KOKORO)
    else:
        golden_clips(cache / "grammar-dev")
        commands = [command for command in commands if "/kokoro" not in command]
    environment = {
        **os.environ,
        "VOXLINE_CACHE": str(cache),
        "VOXLINE_SPEECH": str(speech),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for command in commands:
        less = LESS.get(name_of(command), "")
        if less is None:
            continue
        script = f"set -e; cache={shlex.quote(str(cache))}; {command} {less}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        if "--out $cache/models/round1" in command:
            # one step teaches nothing: the shipped weights stand in for the hours that are left out
            taught = restore(load_bundle(SHIPPED)).state_dict()
            halves = {name: value.half() for name, value in taught.items()}
            torch.save(halves, cache / "models/round1/weights.pt")
    made = load_bundle(cache / "voxline-en-zh")
    assert made.manifest.golden
    assert made.manifest.calibration_curve
    assert "mandarin" in made.manifest.operating_points.normal.weights
    judged = json.loads((cache / "judged.json").read_text("utf-8"))["counts"]
    assert judged["orders, clean"]["nothing refused"] == {"total": 1, "exact": 1, "wrong": 0, "at_once": 0}
    assert judged["Mandarin, news"]["normal"]["total"] == 1


@needs_speech
def test_real_mandarin_is_heard_and_what_the_grammar_lacks_is_not(tmp_path: Path) -> None:
    little_speech(tmp_path / "speech")
    bundle = load_bundle(SHIPPED)
    listening = Listening(bundle, OnnxEngine(bundle), tmp_path / "speech", tmp_path)
    normal = bundle.manifest.operating_points.normal
    mandarin = Mandarin(listening)
    spoken = {kind: list(mandarin.commands(kind)) for kind in COMMANDS}
    assert {kind: len(positives) for kind, positives in spoken.items()} == {
        "play": 2,
        "set": 1,
        "go": 2,
        "dial": 0,
    }
    for positives in spoken.values():
        assert all(positive.trial(normal).verdict is Verdict.EXACT for positive in positives)
    without = [*mandarin.unknown(), *mandarin.news()]
    assert len(without) == 5
    heard = [one for each in without for one in each.recording.hear(each.graph, normal)]
    assert all(one.reject for one in heard)
