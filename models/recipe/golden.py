"""The golden set of the demo grammar, spoken by Kokoro: one speaker a clip, some in machine noise."""

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import yaml

from agent.audio.mixing import mix
from agent.audio.source import SAMPLE_RATE_HZ
from models.recipe.jobs import Job
from models.recipe.kokoro_onnx import KokoroOnnx
from models.recipe.listen import WORST, SecondOpinion
from models.recipe.noise import synthesize
from models.recipe.phones import sound_distance, spoken
from models.recipe.voices import draw_mix, load_styles

SCRIPT = Path(__file__).with_name("golden.yaml")
GRAMMAR = Path(__file__).parents[2] / "grammars/demo.yaml"
_TRIES = 5
_WELL = 0.08  # share of sounds heard wrong with which a speaker is good enough at once
_SILENCE_S = 0.3


def make(kokoro: Path, out: Path) -> None:
    """Speak the script into Opus files in `out`; `labels.json` names commands, `rejects.json` the rest.

    `grammar.yaml` goes with them: they are understood by it, whatever a station's own grammar is.
    A speaker whom the listener does not understand well gives way to another, the best of a few.

    Raises:
        ValueError: no speaker was understood.
    """
    script = yaml.safe_load(SCRIPT.read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    voice, listener, names = KokoroOnnx(kokoro), SecondOpinion(), list(load_styles(kokoro / "voices"))
    labels: dict[str, Any] = {}
    rejects: dict[str, str] = {}
    for number, item in enumerate([*script["commands"], *script["rejects"]]):
        rng = Random(f"golden-{number}")
        audio = _understood(item["say"], voice, listener, names, rng)
        if "noise" in item:
            audio = mix(
                audio, synthesize(item["noise"], number, len(audio) / SAMPLE_RATE_HZ + 1), item["snr_db"]
            )
        name = f"{number:02d}-{re.sub('[^a-z]+', '-', item['say'].lower())}.opus"
        soundfile.write(
            out / name, audio, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS", compression_level=0.8
        )
        if "command" in item:
            labels[name] = {"command": item["command"], "slots": item["slots"]}
        else:
            rejects[name] = item["say"]
    (out / "grammar.yaml").write_bytes(GRAMMAR.read_bytes())
    for file, content in (("labels.json", labels), ("rejects.json", rejects)):
        (out / file).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _understood(
    words: str, voice: KokoroOnnx, listener: SecondOpinion, names: list[str], rng: Random
) -> npt.NDArray[np.int16]:
    best, heard_wrong = np.zeros(0, np.int16), WORST
    for _ in range(_TRIES):
        mix = draw_mix("en", names, rng)
        letters = spoken("en", words, british=mix.british) + "."
        speed = round(rng.uniform(0.9, 1.15), 2)
        audio = voice.speak(Job("", "en", "golden", str(mix), speed, words, letters, ""))
        wrong = sound_distance(words, listener.hear(audio))
        if wrong < heard_wrong:
            best, heard_wrong = audio, wrong
        if wrong <= _WELL:
            break
    if not len(best):
        raise ValueError(f"golden: no speaker of {_TRIES} was understood saying {words!r}")
    silence = np.zeros(round(_SILENCE_S * SAMPLE_RATE_HZ), np.int16)
    return np.concatenate([silence, best, silence])
