import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from typer.testing import CliRunner

import agent.preflight  # noqa: F401 - a test that is nobody may not be able to import it
from agent.config_cli import app
from agent.errors import SettingsError
from agent.settings import Settings, load, load_account
from agent.settings_faults import line_of

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "config.example.toml"
TEXT = EXAMPLE.read_text()


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine that tests has settings of its own."""
    monkeypatch.delenv("VOXLINE_CONFIG", raising=False)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "secrets"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def faults(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(file)
    return str(caught.value)


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models(argument)


def field_names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for nested in models(field.annotation):
            yield from field_names(nested)


def test_example_loads() -> None:
    assert load(EXAMPLE).station.id == "press-2"


def test_example_names_every_field() -> None:
    for name in field_names(Settings):
        assert re.search(rf"^(# )?(\[([a-z]+\.)?{name}\]|{name}\b)", TEXT, re.MULTILINE), name


def test_example_shows_the_defaults(file: Path) -> None:
    """What the example sets to a default is the default: without the line nothing changes."""
    example = load(EXAMPLE)
    required = {"station", "recognition"}
    kept = re.split(r"^(?=\[)", TEXT, flags=re.MULTILINE)
    file.write_text("".join(part for part in kept if part.lstrip("[").split("]")[0] in required))
    defaults = load(file)
    for section in ("audio", "health", "logging", "storage"):
        assert getattr(defaults, section) == getattr(example, section)
    assert defaults.mqtt.keepalive_s == example.mqtt.keepalive_s
    assert defaults.mqtt.reconnect_spread_s == example.mqtt.reconnect_spread_s
    assert defaults.recognition.engine == example.recognition.engine


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("host = ", "hots = ", "config.toml:{line}: no setting [mqtt] hots; did you mean 'host'?"),
        ("\n[mqtt]", "\n[mqqt]", "config.toml:{line}: no setting [mqqt]; did you mean 'mqtt'?"),
        (
            'level = "info"',
            'level = "loud"',
            "level must be 'debug', 'info', 'warning' or 'error', not 'loud'",
        ),
        ("port = 8883", "port = 99999", "[mqtt] port must be less than or equal to 65535, not 99999"),
        (
            "confirm_below = 0.8",
            "confirm_below = 1.0",
            "config.toml:{line}: [commands] confirm_below must be less than 1, not 1",
        ),
        ("port = 8883", 'port = "x"', "port must be a valid integer"),
        ('site = "lyon"', 'site = "ly/on"', "config.toml:{line}: [station] site: use 1 to 64 letters"),
        ('site = "lyon"', "", "[station] site is missing"),
        (
            'type = "microphone"',
            'type = "mic"',
            "[audio] type must be one of 'microphone', 'file', 'stdin', not 'mic'",
        ),
        (
            'type = "microphone"',
            'type = "stdin"',
            "no setting [audio] device where type is 'stdin'; valid here: type",
        ),
        (
            "[health]",
            "[health]\nport = 1",
            "config.toml:{line}: no setting [health] port; it belongs in [mqtt]",
        ),
        ('username = "press-2"', 'password = "x"', "a password needs a username"),
        (
            "[panel]",
            '[panel]\nlamp = "led"',
            "config.toml:{line}: [panel.lamp] is a table: write its settings",
        ),
        ("[station]", "[[station]]", "config.toml:{line}: [station] is a table: write its settings below"),
        ("# source = ", 'source = "updates" # ', "{line}: [updates] source: write an address such as"),
        ("# [panel.lamp]", '[panel.lamp]\ntype = "led"\nname = "/x" # ', "name must be a text that matches"),
        ('key = "/etc', '# key = "/etc', "certificate and key come together"),
        ("[station]", "[station", "not a TOML file"),
        ("[station]", '_env_file = "x"\n[station]', "no setting [_env_file]"),
    ],
)
def test_fault_is_named_with_its_line_and_the_way_out(file: Path, old: str, new: str, said: str) -> None:
    assert TEXT.count(old) >= 1
    wrong = TEXT.replace(old, new, 1)
    line = wrong[: wrong.index(new)].count("\n") + 1 + new.count("\n")
    assert said.format(line=line) in faults(file, wrong)


def test_a_file_of_windows_is_read_and_one_in_another_encoding_told_by_its_line(file: Path) -> None:
    file.write_bytes(TEXT.replace("\n", "\r\n").encode("utf-8-sig"))
    assert load(file).station.id == "press-2"
    file.write_bytes(TEXT.replace('"press-2"', '"säge"', 1).encode("latin-1"))
    line = TEXT[: TEXT.index('"press-2"')].count("\n") + 1
    with pytest.raises(SettingsError, match=rf"config.toml:{line}: byte 0xe4 is no UTF-8; save the file"):
        load(file)


def test_all_faults_are_told_at_once(file: Path) -> None:
    said = faults(
        file, TEXT.replace("\nhost = ", "\nhots = ").replace('site = "lyon"', "").replace("8883", "0")
    )
    assert len(said.splitlines()) == 3


def test_variable_overrides_file_and_is_named_when_wrong(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(TEXT)
    monkeypatch.setenv("VOXLINE_MQTT__HOST", "broker.plant")
    assert load(file).mqtt.host == "broker.plant"
    monkeypatch.setenv("VOXLINE_MQTT__PORT", "many")
    assert "environment variable VOXLINE_MQTT__PORT: [mqtt] port must be" in faults(file, TEXT)
    monkeypatch.delenv("VOXLINE_MQTT__PORT")
    monkeypatch.setenv("VOXLINE_MQQT__PORT", "1")
    assert "VOXLINE_MQQT__PORT: no section 'mqqt'; did you mean 'mqtt'?" in faults(file, TEXT)


def test_a_variable_that_holds_a_table_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXLINE_MQTT", '{"port": "x"}')
    assert "environment variable VOXLINE_MQTT: [mqtt] port must be" in faults(file, TEXT)
    wrong = TEXT.replace('host = "localhost"', 'host = ""')
    assert f"{file}:" in faults(file, wrong).splitlines()[0], "what it does not say is the file's"
    monkeypatch.setenv("VOXLINE_MQTT__PORT", "y")
    assert "environment variable VOXLINE_MQTT__PORT: [mqtt] port must be" in faults(file, TEXT), "it wins"


@pytest.mark.parametrize("name", ["voxline_mqtt__port", "VOXLINE_MQTT__PORT__X"])
def test_a_variable_in_small_letters_or_too_deep_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "many")
    assert f"environment variable {name.upper()}: [mqtt] port must be" in faults(file, TEXT)


@pytest.mark.parametrize("content", ["s3cret\n", "\ufeffs3cret\r\n"], ids=["plain", "Windows"])
def test_secret_file_is_read_and_masked(file: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "mqtt__password").write_text(content, encoding="utf-8", newline="")
    file.write_text(TEXT)
    password = load(file).mqtt.password
    assert password is not None
    assert password.get_secret_value() == "s3cret"
    for arguments in (["show", "-c", str(file)], ["show", "-c", str(file), "--json"]):
        shown = CliRunner().invoke(app, arguments)
        assert shown.exit_code == 0
        assert "s3cret" not in shown.output
        assert "**********" in shown.output


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mqtt_password", "no setting 'mqtt_password'; did you mean 'mqtt__password'?"),
        ("password", "no setting 'password'; did you mean 'mqtt__password'?"),
        ("mqqt__password", "no setting 'mqqt__password'; did you mean 'mqtt__password'?"),
        ("tls", "no setting 'tls'; write section and setting, as in 'mqtt__password'"),
        ("mqtt__pasword", "no setting [mqtt] pasword; did you mean 'password'?"),
        ("mqtt__password/", "must be a file in this folder"),
        ("mqtt__password@", "must be a file in this folder"),
        ("mqtt__password", "[mqtt] password: is empty; write the password, or leave it out"),
    ],
    ids=["one line", "no section", "section", "nothing near", "field", "folder", "link", "empty"],
)
def test_no_secret_is_lost_without_a_word(file: Path, tmp_path: Path, name: str, said: str) -> None:
    secret = tmp_path / "secrets" / name.rstrip("/@")
    secret.parent.mkdir()
    match name[-1]:
        case "/":
            secret.mkdir()
        case "@":
            (tmp_path / "elsewhere").write_text("s3cret")
            secret.symlink_to(tmp_path / "elsewhere")
        case _:
            secret.write_text("\n")
    assert f"{secret}: {said}" in faults(file, TEXT)


def test_what_keeps_secrets_in_place_is_no_secret(file: Path, tmp_path: Path) -> None:
    """A Kubernetes volume: hidden folders, and links to what lies in them."""
    folder = tmp_path / "secrets"
    (folder / "..2026").mkdir(parents=True)
    (folder / "..2026" / "mqtt__password").write_text("s3cret")
    (folder / "..data").symlink_to("..2026")
    (folder / "mqtt__password").symlink_to("..data/mqtt__password")
    file.write_text(TEXT)
    password = load(file).mqtt.password
    assert password is not None
    assert password.get_secret_value() == "s3cret"


def test_no_file_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="VOXLINE_CONFIG"):
        load(tmp_path / "nothing.toml")


def test_an_account_needs_no_station_but_no_fault_of_its_own_either(tmp_path: Path) -> None:
    file = tmp_path / "account.toml"
    file.write_text('[mqtt]\nhost = "broker"\n[station]\nid = 5\n')
    assert load_account(file).mqtt.host == "broker"
    for text, said in (
        ('[mqqt]\nhost = "broker"\n', f"{file}:1: no setting \\[mqqt]"),
        ("[mqtt]\nport = 0\n", f"{file}:2: .*port"),
    ):
        file.write_text(text)
        with pytest.raises(SettingsError, match=said):
            load_account(file)


def test_show_prints_toml_that_loads(file: Path) -> None:
    shown = CliRunner().invoke(app, ["show", "-c", str(EXAMPLE)])
    file.write_text(shown.output)
    assert load(file) == load(EXAMPLE)


@pytest.mark.parametrize(
    "host", ["mqtt://broker", "broker:1883", "broker/", "my broker", "", "fd00::zz", "a..b"]
)
def test_a_host_is_a_name_or_an_address(file: Path, host: str) -> None:
    said = faults(file, TEXT.replace('host = "localhost"', f'host = "{host}"'))
    assert '[mqtt] host: write its name or address alone, such as "broker.plant"' in said


@pytest.mark.parametrize("host", ["broker", "broker.plant.example", "10.0.0.7", "fd00::7", "bröker"])
def test_names_and_addresses_are_hosts(file: Path, host: str) -> None:
    file.write_text(TEXT.replace('host = "localhost"', f'host = "{host}"'))
    assert load(file).mqtt.host == host


def test_line_of_finds_tables_dotted_keys_and_quotes() -> None:
    text = 'a.b = 1\n[mqtt]\n"host" = "x"\n[mqtt.tls]\nca = "y"\n'
    assert line_of(text, ["a", "b"]) == 1
    assert line_of(text, ["mqtt", "host"]) == 3
    assert line_of(text, ["mqtt", "tls", "ca"]) == 5
    assert line_of(text, ["mqtt", "port"]) == 2
    assert line_of(text, ["station", "id"]) is None


LINES = TEXT.splitlines()
values = st.one_of(
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.booleans(),
    st.lists(st.integers(), max_size=2),
    st.none(),
).map(lambda value: json.dumps(value, ensure_ascii=False))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_file_loads_or_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Lines dropped, doubled, given other values or cut: settings or a SettingsError, nothing else."""
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "double", "value", "cut", "text"])):
            case "drop":
                lines[at] = ""
            case "double":
                lines.insert(at, lines[at])
            case "value":
                lines[at] = f"{lines[at].split('=')[0]}= {data.draw(values)}"
            case "cut":
                lines[at] = lines[at][: data.draw(st.integers(0, 20))]
            case "text":
                lines[at] = data.draw(st.text(max_size=30))
    file = tmp_path / "fuzzed.toml"
    file.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    with contextlib.suppress(SettingsError):
        load(file)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "fuzzed.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError):
        load(file)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.sampled_from(
        ["MQTT", "MQTT__PORT", "AUDIO__TYPE", "AUDIO", "MQTT__TLS", "MQTT__TLS__CA", "X__Y", "MQTT__"]
    ),
    value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
)
def test_any_variable_is_taken_or_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(f"VOXLINE_{name}", value)
        with contextlib.suppress(SettingsError):
            load(EXAMPLE)
