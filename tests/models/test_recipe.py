import json
import re
from fnmatch import fnmatch
from itertools import islice, pairwise
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
from torch import Tensor  # noqa: E402
from typer.core import TyperGroup  # noqa: E402
from typer.main import get_command  # noqa: E402

onnxruntime = pytest.importorskip("onnxruntime")

from agent.audio.source import SAMPLE_RATE_HZ  # noqa: E402
from models.recipe import augment, ctc, distill, noise  # noqa: E402
from models.recipe.__main__ import app  # noqa: E402
from models.recipe.batches import Data, sampling_weights  # noqa: E402
from models.recipe.corpus import Clip, find, unpack, write_index  # noqa: E402
from models.recipe.corpus import pack as pack_corpus  # noqa: E402
from models.recipe.export import export  # noqa: E402
from models.recipe.network import FRAME, Network, Window, frames_of  # noqa: E402
from models.recipe.noise import (  # noqa: E402
    FAMILIES,
    HELD_OUT_CLASSES,
    HELD_OUT_FAMILIES,
    collect,
    synthesize,
)
from models.recipe.places import BUNDLES, CACHE, SPEECH  # noqa: E402
from models.recipe.plans import HOPS, SCORED, Piece, Planner, ahead  # noqa: E402
from models.recipe.quantize import STREAMS, windows_of  # noqa: E402
from models.recipe.references import wordings  # noqa: E402
from models.recipe.rooms import simulate  # noqa: E402
from models.recipe.scoring import distances, error_rate, greedy, loudest_energy, with_noise  # noqa: E402
from models.recipe.sliding import padded, slide  # noqa: E402
from models.recipe.sounds import pronunciations, words_of_english  # noqa: E402
from models.recipe.streams import Bank, render  # noqa: E402
from models.recipe.tcn import CONTEXT, STRIDE, Tcn, mel  # noqa: E402
from models.recipe.tokens import INDEX, TOKENS  # noqa: E402
from models.recipe.train import Settings, train  # noqa: E402

RECIPE = Path(__file__).parents[2] / "models/recipe"
CPU = torch.device("cpu")


def clip(name: str, seconds: float, words: list[list[list[int]]], source: str = "train/a") -> Clip:
    return Clip(name, "speech", source, "en", "someone", seconds, "text", words)


def corpus(folder: Path, signals: list[np.ndarray], words: list[list[list[list[int]]]]) -> None:
    write_index(
        [
            clip(str(i), len(s) / SAMPLE_RATE_HZ, w)
            for i, (s, w) in enumerate(zip(signals, words, strict=True))
        ],
        folder,
    )
    np.save(folder / "audio.npy", np.concatenate(signals))


def test_the_token_table_is_the_agreed_one() -> None:
    assert TOKENS[:3] == ("<blank>", "<noise>", "AA")
    assert len(TOKENS) == len(set(TOKENS)) == 2 + 39 + 21 + 36


def test_sound_of_another_index_is_not_cut_by_this_one(tmp_path: Path) -> None:
    corpus(tmp_path, [np.ones(1600, np.int16), np.ones(3200, np.int16)], [[], []])
    assert [len(samples) for samples in unpack(tmp_path)[1]] == [1600, 3200]
    write_index([clip("a", 0.1, []), clip("b", 0.21, [])], tmp_path)
    with pytest.raises(ValueError, match=r"audio.npy: 4800 samples, .* 4960: pack it again"):
        unpack(tmp_path)


def test_packing_that_is_stopped_leaves_what_was_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, length in enumerate((1600, 3200)):
        soundfile.write(tmp_path / f"{number}.wav", np.full(length, 0.1), SAMPLE_RATE_HZ)
    write_index([clip(f"{number}.wav", 1.0, []) for number in range(2)], tmp_path)
    pack_corpus(tmp_path, {"speech": tmp_path})
    packed = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert [len(samples) for samples in unpack(tmp_path)[1]] == [1600, 3200]

    def full(file: IO[bytes], _array: np.ndarray) -> None:
        file.write(b"no more")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="no space"):
        pack_corpus(tmp_path, {"speech": tmp_path})
    assert {name: (tmp_path / name).read_bytes() for name in packed} == packed


def test_sounds_of_both_languages() -> None:
    assert words_of_english("I'd like an A-one, please!") == ["i'd", "like", "an", "a", "one", "please"]
    assert words_of_english("Erase T M A Z, x two; have I a map") == [
        *["erase", "T", "M", "A", "Z", "X", "two", "have", "i", "a", "map"]
    ]
    assert pronunciations("v a n", "en") == [
        [[INDEX[p] for p in name]] for name in (["V", "IY"], ["EY"], ["EH", "N"])
    ]
    assert pronunciations("a van", "en")[0] == [[INDEX["AH"]], [INDEX["EY"]]]
    assert pronunciations("stop", "en") == [[[INDEX[p] for p in ["S", "T", "AA", "P"]]]]
    assert pronunciations("\u5f00\u59cb", "zh") == [[[INDEX[p] for p in ["k", "ai", "sh", "i"]]]]
    assert pronunciations("press 5", "en") == []
    assert pronunciations("LOGO\u4e00", "zh") == []


def test_wordings_keep_to_the_coffee_grammar() -> None:
    label = json.dumps({"slots": {"size": "small", "roast": "dark roast", "coffeeDrink": "latte"}})
    said = set(wordings(label))
    assert "i want a small dark roast latte" in said
    assert "i want dark roast small latte" in said
    assert len(said) == 9 * 3 * 2


def test_edit_distance_against_a_plain_implementation() -> None:
    def plain(a: list[int], b: list[int]) -> int:
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            previous, row = row, [i]
            for j, y in enumerate(b, 1):
                row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (x != y)))
        return row[-1]

    rng = np.random.default_rng(0)
    for _ in range(50):
        heard = rng.integers(2, 6, rng.integers(0, 9)).tolist()
        others = [rng.integers(2, 6, rng.integers(1, 9)).tolist() for _ in range(4)]
        assert distances(heard, others).tolist() == [plain(heard, other) for other in others]
    assert error_rate([([2, 3], [[2, 3, 4], [2, 9, 9, 9]])]) == pytest.approx(1 / 3)


def test_a_text_too_long_for_its_sound_teaches_nothing_but_is_not_taken_for_said() -> None:
    logp = torch.zeros(2, 3, 10).log_softmax(-1)
    fits, long = [5, 6], [5, 6, 7, 8]
    cost = ctc.losses(logp, [3, 3], [fits, long])
    assert cost[0] > 0
    assert cost[1] == 0
    assert torch.isinf(ctc.losses(logp, [3, 3], [fits, long], zero_infinity=False)[1])


def test_greedy_decoding_drops_blanks_and_repeats() -> None:
    best = [0, 5, 5, 0, 5, 1, 7]
    logits = torch.full((len(best), 10), -1.0)
    logits[range(len(best)), best] = 1.0
    assert greedy(logits) == [5, 5, 7]


def test_noise_is_mixed_at_the_ratio_of_loudest_blocks() -> None:
    speech, noise = torch.randn(40_000) * 0.1, torch.randn(9_000)
    added = with_noise(speech, noise, 6.0) - speech
    ratio = 10 * torch.log10(loudest_energy(speech) / loudest_energy(added))
    assert float(ratio) == pytest.approx(6.0, abs=1e-3)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_machine_noise_is_loud_and_repeatable(family: str) -> None:
    first, again, other = (synthesize(family, seed, 2.0) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.abs(first).max() >= 15_900
    assert np.count_nonzero(first) > len(first) // 2


def test_noise_after_a_text_with_one_quotation_mark_is_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rain", "sea"):
        soundfile.write(tmp_path / f"{name}.wav", np.full(1600, 0.1), SAMPLE_RATE_HZ)
    columns = "path", "split", "language", "speaker", "seconds", "labels", "text"
    listed = [("a.wav", "train", "en", "a", "1", "verbatim", '"stop')]
    listed += [(f"{name}.wav", "noise", "", "", "0.1", name, "") for name in ("rain", "sea")]
    lines = ["\t".join(cells) + "\n" for cells in (columns, *listed)]
    (tmp_path / "manifest.tsv").write_text("".join(lines))
    monkeypatch.setattr(noise, "FAMILIES", {})
    collect(tmp_path, tmp_path / "noise", 1)
    clips, audio = unpack(tmp_path / "noise")
    assert [(clip.text, len(samples)) for clip, samples in zip(clips, audio, strict=True)] == [
        ("rain", 1600),
        ("sea", 1600),
    ]


def test_a_simulated_room_begins_with_its_direct_sound() -> None:
    pytest.importorskip("pyroomacoustics", reason="pyroomacoustics is not installed (extra `train`)")
    response = simulate(3).astype(np.float32)
    assert np.abs(response).argmax() <= 16
    assert np.abs(response).max() == 1
    assert np.abs(response[160:]).sum() > 0.01


def test_pieces_are_laid_where_they_belong(tmp_path: Path) -> None:
    tone = (10_000 * np.sin(np.arange(8000) / 8000 * 2 * np.pi * 40)).astype(np.int16)
    corpus(tmp_path, [tone, -tone], [[], []])
    bank, _ = Bank.load([tmp_path], CPU)
    tracks = [[Piece(1, 1000, 4000, 0, 1.0, 1.0)], [Piece(0, 0, 4000, 0, 2.0, 0.5)]]
    out = render(bank, tracks, 10_000)
    scale = 0.05 / bank.rms
    assert torch.count_nonzero(out[0, :1000]) == 0
    assert torch.count_nonzero(out[0, 5000:]) == 0
    np.testing.assert_allclose(out[0, 1000:5000], -tone[:4000] * scale[1], atol=1e-5)
    np.testing.assert_allclose(out[1, :3990], 0.5 * scale[0] * tone[:7980:2], atol=1e-5)


def test_planned_utterances_lie_whole_in_the_scored_part(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    signals = [rng.integers(-9000, 9000, n).astype(np.int16) for n in (4000, 20_000, 60_000)]
    labels = [[[[5]], [[6, 7], [8]]], [[[9]]], [[[10, 11]]]]
    corpus(tmp_path, signals, labels)
    bank, clips = Bank.load([tmp_path], CPU)
    planner = Planner(bank.length, [c.words for c in clips], np.ones(3), np.array([9000]), np.array([0]), 0)
    for _ in range(50):
        pieces, target = planner.stream(rng, 20_000, 30_000, 200_000)
        scored = [p for p in pieces if p.at >= 30_000]
        assert all(p.at + p.length <= 20_000 for p in pieces if p not in scored)
        assert all(p.at + p.length < 200_000 for p in scored)
        ordered = sorted(pieces, key=lambda p: p.at)
        assert all(a.at + a.length <= b.at for a, b in pairwise(ordered))
        assert target == [t for p in sorted(scored, key=lambda p: p.at) for w in labels[p.clip] for t in w[0]]
        assert all(p.offset + p.length * p.speed <= len(signals[p.clip]) for p in pieces)


def test_plans_ahead_are_the_same_plans() -> None:
    planner = Planner(np.array([16_000]), [[[[5]]]], np.ones(1), np.array([9000]), np.array([0]), 7)
    here, there = (list(islice(ahead(planner, 3, 34, processes), 5)) for processes in (0, 2))
    assert here == there
    assert {plan.window.hop for plan in here} <= set(HOPS)
    assert all(SCORED % hop == 0 for hop in HOPS)
    assert here[0] != here[1]


def test_sampling_weights_give_sources_their_share() -> None:
    said = [[[5]]]
    clips = [
        clip("a", 1, said),
        clip("b", 3, said),
        clip("c", 9, said, "synth/en"),
        clip("d", 9, [], "synth/en"),
    ]
    weights = sampling_weights(clips, {"train/": 0.25, "synth": 0.75})
    heard = weights * [c.seconds for c in clips]
    assert heard[:2].sum() == pytest.approx(0.25)
    assert weights[3] == 0


def test_a_share_that_nothing_is_heard_of_is_named() -> None:
    clips = [clip("a", 1, [[[5]]]), clip("b", 1, [], "synth/en/command")]
    with pytest.raises(ValueError, match="share of synth/en: no clip"):
        sampling_weights(clips, {"train/": 0.5, "synth/en": 0.5})


def test_what_a_microphone_does_stays_in_range() -> None:
    x = torch.randn(8, 20_000)
    out = augment.capture(augment.filtered(x, augment.microphone_spectra(8, 1 << 15, CPU)))
    assert out.shape == x.shape
    assert float(out.abs().max()) <= 1
    assert torch.equal(out * 32768, (out * 32768).round())


def test_sliding_answers_each_frame_once_and_in_order() -> None:
    window = Window(frames=20, hop=5, look_ahead=3)
    audio = torch.zeros(2, window.samples + 4 * window.hop * FRAME)

    def fake(windows: Tensor) -> Tensor:
        """Answer the position of each frame in its stream, which the samples tell."""
        return windows.unfold(1, FRAME, FRAME)[:, : window.frames, :1]

    audio[:] = torch.arange(audio.shape[1]) // FRAME
    answers = slide(fake, audio, window)[..., 0]
    first = window.frames - window.look_ahead - window.hop
    assert answers.shape == (2, 25)
    assert answers[0].tolist() == list(range(first, first + 25))


def test_padding_leaves_no_frame_of_a_recording_out() -> None:
    window = Window()
    recording = torch.rand(30_000)
    stream = padded(recording, window)
    lead = (window.frames - window.look_ahead - window.hop) * FRAME
    assert torch.equal(stream[lead : lead + 30_000], recording)
    windows = (len(stream) - window.samples) // (window.hop * FRAME) + 1
    assert windows * window.hop * FRAME >= 30_000


def test_the_teacher_keeps_every_sound_on_the_students_clock() -> None:
    logits = torch.full((1, 200, 5), -20.0)
    logits[..., 0] = 0
    logits[0, ::6] = torch.tensor([-20.0, -20, 0, -20, -20])
    wanted, part = distill.teacher_at(logits, 0, 300)
    assert wanted.shape[1] == part.stop - part.start
    np.testing.assert_allclose(wanted.sum(-1), 1, atol=1e-4)
    peaks = torch.unique_consecutive(wanted[0].argmax(-1))
    assert int((peaks == 2).sum()) == pytest.approx(wanted.shape[1] * 40 / 24 / 6, abs=2)


def test_the_low_cost_model_hears_what_the_agents_front_end_gives() -> None:
    from agent.acoustics.features import log_mel

    audio = np.random.default_rng(0).standard_normal(8000).astype(np.float32) * 0.1
    ours = mel(torch.from_numpy(audio)[None])[0].T.numpy()
    np.testing.assert_allclose(ours, log_mel(audio), atol=1e-3)
    model = Tcn(len(TOKENS)).eval()
    frames = CONTEXT + 3 * STRIDE
    assert model(torch.zeros(1, 80, 1, frames)).shape == (1, len(TOKENS), 1, 4)


def test_export_equals_training(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(Network(len(TOKENS)).state_dict(), tmp_path / "weights.pt")
    export(tmp_path / "weights.pt", tmp_path, Window(frames=30))
    info = json.loads((tmp_path / "info.json").read_text())
    assert info["torch_onnx_max_error"] < 1e-3
    assert info["output"]["shape"] == [1, len(TOKENS), 1, 30]
    assert frames_of(info["window_samples"]) == 30


def noise_and_room(folder: Path, names: list[str]) -> None:
    write_index([Clip("", "", "noise", "", "", 3.0, name, []) for name in names], folder / "noise")
    np.save(folder / "noise/audio.npy", np.concatenate([synthesize(name, 0, 3.0) for name in names]))
    rooms = np.zeros((1, 800), np.float16)
    rooms[0, 0] = 1
    np.save(folder / "rooms.npy", rooms)


def test_ranges_are_taken_from_the_same_windows_each_time(tmp_path: Path) -> None:
    spoken = [synthesize("fan", seed, 2.0) for seed in range(3)]
    corpus(tmp_path / "train", spoken, [[[[INDEX["AA"]]]]] * 3)
    noise_and_room(tmp_path, ["fan"])
    torch.manual_seed(1)
    first = list(islice(windows_of(tmp_path), STREAMS))
    torch.manual_seed(2)
    np.testing.assert_array_equal(list(islice(windows_of(tmp_path), STREAMS)), first)
    assert first[0].shape == (1, 127, 1, (Window().samples - 127) // 64 + 1)
    assert len({window.tobytes() for window in first}) == STREAMS


def test_a_stopped_distillation_leaves_what_was_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = [synthesize("fan", seed, 2.0) for seed in range(3)]
    corpus(tmp_path / "train", spoken, [[[[INDEX["AA"]]]]] * 3)
    noise_and_room(tmp_path, ["fan"])
    monkeypatch.setattr(distill, "SAVE_EVERY_S", 0.0)
    data = Data([tmp_path / "train"], tmp_path, {"train/": 1.0}, CPU, seed=0)
    student = distill.distill(data, Network(len(TOKENS)).eval(), tmp_path / "out", 1.0, 17)
    weights = torch.load(tmp_path / "out/averaged.pt", weights_only=True)
    assert weights["out.weight"].dtype == torch.float16
    torch.testing.assert_close(weights["out.weight"], student.out.weight.half())
    Tcn(len(TOKENS)).load_state_dict(weights)


@pytest.mark.skipif(not (SPEECH / "manifest.tsv").exists(), reason=f"no shared speech at {SPEECH}")
def test_training_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    roots = {"speech": SPEECH}
    chosen = [c for c in find(roots, "train") if c.source == "train/an4" and c.seconds > 2][:12]
    write_index(chosen, tmp_path / "train")
    pack_corpus(tmp_path / "train", roots)
    names = [*sorted(HELD_OUT_FAMILIES), "fan"]
    noise_and_room(tmp_path, names)
    data = Data([tmp_path / "train"], tmp_path, {"train/": 1.0}, CPU, seed=0)
    assert [names[i] for i in data.planner.noises] == ["fan"]
    assert HELD_OUT_CLASSES
    plan = data.planner.plan(0, 17, hop=40)
    streams, window = data.batch(plan), plan.window
    assert torch.isfinite(streams).all()
    assert (streams.shape[1] - window.samples) // (window.hop * FRAME) + 1 == 17
    assert len(plan.said) == 1
    torch.manual_seed(0)
    start = Network(len(TOKENS)).state_dict()
    out = tmp_path / "out"
    network = train(data, start, out, Settings(steps=1, windows=17))
    again = train(data, start, out, Settings(steps=2, windows=17))
    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 2
    assert any(not torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_the_help_names_what_is_run_as_a_module() -> None:
    modules = {path.stem for path in RECIPE.rglob("*.py") if "typer.run(main)" in path.read_text("utf-8")}
    assert modules == set(re.split(r"[,.\s]+", str(app.info.help).partition(": ")[2])) - {""}


def test_the_guide_names_every_module() -> None:
    table = (RECIPE / "README.md").read_text("utf-8").partition("| module | job |")[2]
    named = re.findall(r"`([a-z_0-9*]+)`", table)
    modules = {path.stem for path in RECIPE.glob("*.py")} - {"__init__", "__main__"}
    assert sorted(name for name in modules if not any(fnmatch(name, each) for each in named)) == []


def test_no_step_writes_the_shipped_bundle_unless_told() -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for step, written in {"bundle": "out", "calibrate": "folder"}.items():
        (folder,) = (each.default for each in group.commands[step].params if each.name == written)
        assert folder == CACHE / "voxline-en-zh"
        assert not folder.is_relative_to(BUNDLES)
