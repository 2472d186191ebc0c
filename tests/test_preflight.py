import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.config_cli import app
from agent.preflight import hints  # here: a test that is nobody may not be able to import it
from agent.settings import load
from agent.updates import state_file
from agent.updates.release import Reference
from agent.updates.state import State
from tests.test_settings import EXAMPLE, ROOT, TEXT, file, no_settings_around

__all__ = ["file", "no_settings_around"]


def of_a_station(folder: Path) -> str:
    """The settings of a station that can start."""
    text = re.sub(r"\[mqtt.tls\][^[]*", "", TEXT).replace("port = 8883", "port = 1883")
    text = re.sub(r"\[audio\][^[]*", '[audio]\ntype = "stdin"\n\n', text)
    text = text.replace("/etc/voxline/grammar.yaml", str(ROOT / "grammars/demo.yaml"))
    text = text.replace("/var/lib/voxline/bundles/current", str(ROOT / "models/bundles/voxline-en-zh"))
    return text.replace("/var/lib/voxline", str(folder / "state")).replace("/var/cache", str(folder))


def checked(file: Path) -> list[str]:
    """The faults that `config check` names; what it prints and its exit status must say the same."""
    told = CliRunner().invoke(app, ["check", "-c", str(file)])
    result = CliRunner().invoke(app, ["check", "-c", str(file), "--json"])
    report = json.loads(result.stdout.splitlines()[-1])
    assert told.exit_code == result.exit_code == (1 if report["faults"] else 0)
    assert report["ok"] is not bool(report["faults"])
    for line in report["faults"] or ["settings are fine"]:
        assert line in told.stdout.splitlines()
    return list(report["faults"])


def hinted(file: Path) -> list[str]:
    """The hints of `config check`, which has nothing else to say."""
    result = CliRunner().invoke(app, ["check", "-c", str(file), "--json"])
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["ok"], report
    return list(report["hints"])


def test_check_finds_nothing_where_there_is_nothing(file: Path, tmp_path: Path) -> None:
    file.write_text(of_a_station(tmp_path))
    assert checked(file) == []
    assert not (tmp_path / "state").exists(), "it must leave nothing behind that another user owns"


def test_check_names_missing_files() -> None:
    said = "\n".join(checked(EXAMPLE))
    for setting, path in (
        ("[recognition] grammar", "/etc/voxline/grammar.yaml"),
        ("[recognition] bundle", "/var/lib/voxline/bundles/current"),
        ("[mqtt.tls] ca", "/etc/voxline/tls/ca.crt"),
        ("[mqtt.tls] certificate", "/etc/voxline/tls/station.crt"),
    ):
        assert re.search(rf"^{EXAMPLE}:\d+: {re.escape(setting)}: .*{path}", said, re.MULTILINE), said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('grammar = "', 'grammar = "{broken}" # ', r"\[recognition\] grammar: .*broken.yaml:4:.*`blade`"),
        ('bundle = "', 'bundle = "{here}" # ', r"\[recognition\] bundle: .*manifest.json"),
        ('engine = "auto"', 'engine = "rknn"', r"\[recognition\] engine: .*names no Rockchip NPU"),
        ('arming = "open"', 'arming = "wake"', r'\[recognition\] grammar: .*arming is "wake".*add `wake:`'),
        (
            'type = "stdin"',
            'type = "file"\npath = "{broken}"',
            r"\[audio\]: .*broken.yaml: cannot be read as sound",
        ),
        (
            'state = "',
            'state = "{broken}" # ',
            r"\[storage\] state: .*broken.yaml: Not a directory; the agent's user must",
        ),
        ("[health]", '[mqtt.tls]\nca = "{broken}"\n[health]', r"\[mqtt.tls\] ca: "),
        ("# source = ", 'source = "/nowhere" # ', r"\[updates\] root: .*/etc/voxline/root.json"),
        (
            'root = "',
            'source = "/nowhere"\nroot = "{broken}" # ',
            r"\[updates\] root: .*broken.yaml: .* cannot be trusted",
        ),
    ],
    ids=["grammar", "bundle", "engine", "wake", "sound", "state", "tls", "updates", "root"],
)
def test_check_names_what_run_would_refuse(file: Path, tmp_path: Path, old: str, new: str, said: str) -> None:
    broken, quiet = tmp_path / "broken.yaml", tmp_path / "quiet.yaml"
    saw = 'name: saw\ncommands:\n  blade:\n    sentences: ["start the {blade}"]\n    topic: blade\n'
    broken.write_text(saw)
    quiet.write_text(saw.replace("{blade}", "blade"))
    text = of_a_station(tmp_path).replace(str(ROOT / "grammars/demo.yaml"), str(quiet))
    assert old in text
    file.write_text(
        text.replace(old, new.replace("{broken}", str(broken)).replace("{here}", str(tmp_path)), 1)
    )
    assert re.search(said, "\n".join(checked(file)))


@pytest.fixture
def open_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that every user can reach, other than pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", f"{name}/secrets")
        yield Path(name)


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """Root may read and write everything: be nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize("closed", ["audit", "updates"])
def test_check_names_what_this_user_may_not_touch(open_folder: Path, closed: str) -> None:
    grammar, state, file = open_folder / "g.yaml", open_folder / "state", open_folder / "config.toml"
    grammar.touch(0o000)
    (state / closed).mkdir(parents=True)
    state.chmod(0o777)
    (state / closed).chmod(0o555)
    file.write_text(of_a_station(open_folder).replace(str(ROOT / "grammars/demo.yaml"), str(grammar)))
    checked(file)  # imports what nobody may not be able to import
    with without_rights():
        said = checked(file)
    assert any(re.search(r":\d+: \[recognition\] grammar: .*Permission denied", line) for line in said)
    refused = (
        f"[storage] state: {state / closed}: Permission denied; the agent's user must be able to write there"
    )
    assert any(line.endswith(refused) for line in said)


def test_settings_that_cannot_be_read_are_a_fault_like_missing_ones(open_folder: Path) -> None:
    file = open_folder / "config.toml"
    advice = "give another file with --config or VOXLINE_CONFIG"
    assert checked(file) == [f"{file}: No such file or directory; {advice}"]
    file.touch(0o000)
    with without_rights():
        assert checked(file) == [f"{file}: Permission denied; {advice}"]


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_secrets_that_this_user_may_not_read_are_a_fault(open_folder: Path, mode: int) -> None:
    folder, file = open_folder / "secrets", open_folder / "config.toml"
    folder.mkdir()
    (folder / "mqtt__password").write_text("s3cret")
    file.write_text(TEXT)
    folder.chmod(mode)
    with without_rights():
        (said,) = checked(file)
    folder.chmod(0o755)
    assert re.fullmatch(f"{folder}.*: Permission denied; let this user read the secret files, .*", said)


def test_check_hints_at_wake_phrases_that_nobody_needs_to_say(file: Path, tmp_path: Path) -> None:
    file.write_text(of_a_station(tmp_path).replace('username = "press-2"', ""))
    (hint,) = hinted(file)
    assert hint.startswith('[commands] arming = "open" obeys every sentence')
    file.write_text(file.read_text().replace('arming = "open"', 'arming = "wake"'))
    assert hinted(file) == []


def test_check_hints_at_a_microphone_that_is_not_there(file: Path, tmp_path: Path) -> None:
    text = of_a_station(tmp_path).replace('username = "press-2"', "").replace('"open"', '"wake"')
    file.write_text(text.replace('type = "stdin"', 'type = "microphone"\ndevice = "*nope*"'))
    (hint,) = hinted(file)
    assert hint.startswith("[audio] device: no input device is named like '*nope*'; there are: ")


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        ('button = {type = "gpio", chip = "/nope", line = 5}', '[panel.button] chip = "/nope" is not there'),
        ('lamp = {type = "gpio", chip = "/nope", line = 5}', '[panel.lamp] chip = "/nope" is not there'),
        ('lamp = {type = "led", name = "nope"}', '[panel.lamp] name = "nope" is not in /sys/class/leds'),
    ],
)
def test_check_hints_at_parts_of_the_panel_that_are_not_there(
    file: Path, tmp_path: Path, panel: str, said: str
) -> None:
    text = of_a_station(tmp_path).replace('username = "press-2"', "").replace('"open"', '"wake"')
    file.write_text(re.sub(r"(\[panel\][^\n]*\n)", rf"\1{panel}\n", text))
    (hint,) = hinted(file)
    assert hint.startswith(said)


def test_check_hints_at_a_broker_that_will_not_answer(file: Path, tmp_path: Path) -> None:
    text = of_a_station(tmp_path).replace('arming = "open"', 'arming = "wake"')
    for changed, said in (
        (text.replace('username = "press-2"', "").replace("1883", "8883"), "port = 8883"),
        (text, 'username = "press-2" has neither password nor certificate'),
        (text.replace('username = "press-2"', ""), ""),
        (text.replace('username = "press-2"', 'username = "press-2"\npassword = "x"'), ""),
    ):
        file.write_text(changed)
        result = CliRunner().invoke(app, ["check", "-c", str(file), "--json"])
        hints = json.loads(result.stdout.splitlines()[-1])["hints"]
        assert result.exit_code == 0
        assert [said in hint for hint in hints] == ([True] if said else [])
        told = CliRunner().invoke(app, ["check", "-c", str(file)]).stdout
        assert told.endswith("\n".join(["settings are fine", *(f"hint: {hint}" for hint in hints), ""]))


def test_check_hints_at_what_updates_have_put_in_the_place_of_settings(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text(of_a_station(tmp_path).replace("# source = ", 'source = "/nowhere" # '))
    settings = load(file)
    before = hints(settings)
    settings.storage.updates.mkdir(parents=True)
    running = (Reference.parse("grammar/press/1.2.0"), Reference.parse("model/voxline-en-zh/0.1.1"))
    state_file.save(settings.storage.updates, State(running=running))
    assert [hint for hint in hints(settings) if hint not in before] == [
        "[recognition] grammar stands back: an update has installed grammar/press/1.2.0",
        "[recognition] bundle stands back: an update has installed model/voxline-en-zh/0.1.1",
    ]
