import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.acoustics import bundle as bundles
from agent.acoustics.bundle import Bundle, load_bundle, reseal_bundle, seal_bundle
from agent.acoustics.manifest import Tensor
from agent.errors import BundleError
from tests.acoustics.small import FRAME, TOKENS, WINDOW, manifest

Change = Callable[[Path], object]


def test_a_sealed_bundle_loads_and_knows_its_parts(bundle: Bundle) -> None:
    again = load_bundle(bundle.folder)
    assert again == bundle
    assert again.onnx.is_file()
    assert again.rknn("rk3568") == bundle.folder / "model.rk3568.rknn"
    assert again.rknn("rk3588") is None
    canary = again.canary()
    assert canary is not None
    assert canary.samples.shape == (WINDOW,)
    assert canary.logits.shape == (19, len(TOKENS))


def test_a_file_that_its_disk_does_not_give_back_is_damaged(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever loads a bundle must be able to tell: then updates go back to the one before it."""

    def on_bad_sectors(path: Path) -> int:  # to read there is an I/O error, to open it is none
        return os.open("/proc/self/mem" if path.name == "model.onnx" else path, os.O_RDONLY)

    monkeypatch.setattr(bundles, "_open_regular", on_bad_sectors)
    with pytest.raises(BundleError, match=r"model\.onnx: cannot be read: Input/output error"):
        load_bundle(bundle.folder)


def edit_json(change: Callable[[dict[str, Any]], object]) -> Change:
    def edit(folder: Path) -> None:
        path = folder / "manifest.json"
        fields = json.loads(path.read_text())
        change(fields)
        path.write_text(json.dumps(fields))

    return edit


def flip(name: str) -> Change:
    def edit(folder: Path) -> None:
        raw = bytearray((folder / name).read_bytes())
        raw[len(raw) // 2] ^= 1
        (folder / name).write_bytes(raw)

    return edit


def replace_by_link(folder: Path) -> None:
    shutil.move(folder / "model.onnx", folder.parent / "elsewhere.onnx")
    (folder / "model.onnx").symlink_to(folder.parent / "elsewhere.onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flip("model.onnx"), r"model\.onnx: damaged: SHA-256"),
        (flip("canary.logits.f32"), r"canary\.logits\.f32: damaged"),
        (lambda f: (f / "model.onnx").unlink(), r"model\.onnx: missing"),
        (lambda f: (f / "manifest.json").unlink(), r"holds no manifest\.json"),
        (lambda f: shutil.rmtree(f), r"holds no manifest\.json; give the folder of a bundle"),
        (lambda f: (f / "model.onnx").open("ab").write(b"x"), r"model\.onnx: damaged: has 5273 bytes"),
        (lambda f: (f / "extra.txt").touch(), r"extra\.txt: not listed"),
        (lambda f: (f / "link").symlink_to("/etc/passwd"), "link: is a link"),
        (lambda f: (f / "folder").symlink_to("/etc"), "folder: is a link"),
        (lambda f: os.mkfifo(f / "pipe"), "pipe: is a link or a device"),
        (replace_by_link, r"model\.onnx: is a link"),
        (lambda f: (f / "manifest.json").write_bytes(b"{}" + b" " * 2**20), "larger than 1048576 bytes"),
        (lambda f: (f / "manifest.json").write_text("{"), r"manifest\.json: Invalid JSON"),
        (lambda f: (f / "manifest.json").write_text("[" * 100_000), r"manifest\.json: Invalid JSON"),
        (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe"), r"manifest\.json: Invalid JSON"),
        (edit_json(lambda m: m["files"].update({"../x": m["files"]["model.onnx"]})), r"files\.\.\./x"),
        (
            edit_json(lambda m: m["files"].update({"/etc/passwd": m["files"]["model.onnx"]})),
            "files./etc/passwd",
        ),
        (edit_json(lambda m: m["files"].update({"a\n": m["files"]["model.onnx"]})), "files.a\n"),
        (
            edit_json(lambda m: m["files"]["model.onnx"].update(size_bytes=2**60)),
            r"files\.model\.onnx\.size_bytes",
        ),
        (edit_json(lambda m: m["files"]["model.onnx"].update(sha256="0")), r"files\.model\.onnx\.sha256"),
        (edit_json(lambda m: m["files"].pop("model.onnx")), "files: model.onnx is missing"),
        (edit_json(lambda m: m["files"].pop("canary.logits.f32")), "a .rknn file needs canary.samples.i16"),
        (edit_json(lambda m: m.pop("npu")), "npu: must be given"),
        (edit_json(lambda m: m["npu"].pop("input_layout")), "npu.input_layout: must be given"),
        (edit_json(lambda m: m.update(hop=1)), "hop: Extra inputs are not permitted"),
        (
            edit_json(lambda m: m.update(golden="golden/labels.json")),
            "golden: golden/labels.json is not among",
        ),
        (edit_json(lambda m: m.update(tokens=[*TOKENS[:-1], "B"])), "tokens: a token occurs twice"),
        (edit_json(lambda m: m.update(tokens=[*TOKENS[2:], *TOKENS[:2]])), "tokens: must begin with <blank>"),
        (edit_json(lambda m: m.update(hop_samples=FRAME + 1)), "hop_samples: must be a multiple"),
        (edit_json(lambda m: m.update(hop_samples=64 * FRAME)), "hop_samples: frames would be lost"),
        (edit_json(lambda m: m.update(look_ahead_samples=WINDOW)), "hop_samples: frames would be lost"),
        (edit_json(lambda m: m.update(first_frame_samples=900)), "the last frame's centre is beyond"),
        (edit_json(lambda m: m.update(window_samples=640)), "input: front_end makes 19 rows of 64"),
        (
            edit_json(lambda m: m["output"].update(shape=[1, 6, 1, 19])),
            "output: shape must hold 19 frames of 5",
        ),
        (edit_json(lambda m: m["output"].update(shape=[1, 5, 2, 19])), "every axis of shape but"),
        (edit_json(lambda m: m["output"].update(time_axis=4)), "output: .*must be axes of shape"),
        (edit_json(lambda m: m["output"].update(time_axis=1)), "output: .*must differ"),
        (edit_json(lambda m: m["operating_points"].pop("low")), "operating_points.low: Field required"),
        (
            edit_json(lambda m: m["operating_points"]["low"].update(blank_penalty=float("inf"))),
            "blank_penalty",
        ),
    ],
)
def test_faults_are_refused_and_named(damaged: Path, change: Change, message: str) -> None:
    change(damaged)
    with pytest.raises(BundleError, match=message):
        load_bundle(damaged)


def test_changed_files_are_taken_over_by_a_new_seal(damaged: Path) -> None:
    (damaged / "golden").mkdir()
    (damaged / "golden" / "one.opus").write_bytes(b"sound")
    (damaged / "model.rk3568.rknn").write_bytes(b"RKNN2")
    before = json.loads((damaged / "manifest.json").read_text())
    sealed = reseal_bundle(damaged)
    assert sealed.manifest.files["golden/one.opus"].size_bytes == 5
    after = json.loads((damaged / "manifest.json").read_text())
    assert after | {"files": {}} == before | {"files": {}}
    assert load_bundle(damaged) == sealed


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", "[" * 100_000, '{"files": {}}'])
def test_what_is_no_manifest_cannot_be_sealed(damaged: Path, text: str) -> None:
    (damaged / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json: "):
        reseal_bundle(damaged)
    assert (damaged / "manifest.json").read_text() == text


def test_a_bundle_may_itself_be_reached_through_a_link(damaged: Path) -> None:
    link = damaged.parent / "active"
    link.symlink_to(damaged)
    assert load_bundle(link).manifest.name == "small"


def test_a_canary_that_does_not_fit_is_refused(damaged: Path) -> None:
    np.full((19, len(TOKENS)), np.nan, np.float32).tofile(damaged / "canary.logits.f32")
    with pytest.raises(BundleError, match=r"canary\.logits\.f32: holds values that are not finite"):
        seal_bundle(damaged, manifest()).canary()
    np.zeros(WINDOW - 1, np.int16).tofile(damaged / "canary.samples.i16")
    with pytest.raises(BundleError, match=r"canary\.samples\.i16 must have 2560 bytes"):
        seal_bundle(damaged, manifest())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["..", "/", "a/../b", "nchw", "model.onnx", "\x00", "model.rk3568.rknn"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good manifest with a few values anywhere in it replaced, removed or added."""
    files = {"model.onnx": {"sha256": "0" * 64, "size_bytes": 5}}
    fields: Any = json.loads(json.dumps(manifest(files=files)))  # shares no list with other examples
    for _ in range(draw(st.integers(1, 3))):
        at = fields
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(at[key], dict | list) or draw(st.integers(0, 3)) == 0:
                action = draw(st.sampled_from(["replace", "remove", "add"]))
                if action == "replace":
                    at[key] = draw(JSON)
                elif action == "remove":
                    del at[key]
                elif isinstance(at, dict):
                    at[draw(st.text(max_size=8))] = draw(JSON)
                break
            at = at[key]
    return json.dumps(fields).encode(errors="surrogatepass")


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(raw=st.binary(max_size=200) | mutated())
def test_no_manifest_crashes(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(raw)
    with pytest.raises(BundleError, match=re.escape(str(tmp_path))):
        load_bundle(tmp_path)  # never whole: there is no model.onnx


@given(
    time=st.integers(1, 7),
    channels=st.integers(1, 7),
    axes=st.permutations(range(4)),
    rank=st.integers(2, 4),
)
def test_tensors_arrange_rows_and_back(time: int, channels: int, axes: list[int], rank: int) -> None:
    time_axis, channel_axis = [axis for axis in axes if axis < rank][:2]
    shape = [1] * rank
    shape[time_axis], shape[channel_axis] = time, channels
    tensor = Tensor(name="x", shape=tuple(shape), time_axis=time_axis, channel_axis=channel_axis)
    rows = np.arange(time * channels, dtype=np.float32).reshape(time, channels)
    arranged = tensor.from_rows(rows)
    assert arranged.shape == tuple(shape)
    assert (np.moveaxis(arranged, (time_axis, channel_axis), (0, 1)).reshape(rows.shape) == rows).all()
    assert (tensor.to_rows(arranged) == rows).all()
