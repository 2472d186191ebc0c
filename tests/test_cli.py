"""What a person types: every command explains itself, every error is a message with a code."""

import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agent import cli

ROOT = Path(__file__).parents[1]


def every_command(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from every_command(below, (*path, name))


COMMANDS = list(every_command(typer.main.get_command(cli.app)))


def test_all_rooms_are_there() -> None:
    assert {"run", "demo", "audio", "audit", "config", "contract", "evaluate", "grammar", "model"} <= {
        path[0] for path in COMMANDS if path
    }


def test_it_tells_its_version() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"voxline {version('voxline')}\n")


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.app, [*path, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert len(result.output.splitlines()) > 5


@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        (["run", "--config", "nowhere.toml"], "settings", "nowhere.toml"),
        (["config", "show", "--config", "nowhere.toml"], "settings", "nowhere.toml"),
        (["grammar", "count", "nowhere.yaml"], "grammar", "nowhere.yaml"),
        (["model", "info", "nowhere"], "bundle", "nowhere"),
    ],
    ids=["run", "settings", "grammar", "bundle"],
)
def test_an_error_is_a_message_with_a_code(
    arguments: list[str],
    code: str,
    names: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["voxline", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error[{code}]: ")
    assert names in error


def test_grammar_check_prints_json(tmp_path: Path) -> None:
    demo = ROOT / "grammars/demo.yaml"
    good = CliRunner().invoke(cli.app, ["grammar", "check", str(demo), "--json"])
    assert good.exit_code == 0, good.output
    assert json.loads(good.stdout)["ok"] is True
    broken = tmp_path / "broken.yaml"
    broken.write_text(demo.read_text().replace("{conveyor}", "{konveyor}"))
    bad = CliRunner().invoke(cli.app, ["grammar", "check", str(broken), "--json"])
    assert bad.exit_code == 1
    report = json.loads(bad.stdout)
    assert report["ok"] is False
    assert any("konveyor" in fault["message"] and fault["line"] for fault in report["faults"])


def test_config_check_prints_json(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[mqtt]\nhots = "broker"\n')
    result = CliRunner().invoke(cli.app, ["config", "check", "--config", str(config), "--json"])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert any("config.toml:2" in fault and "host" in fault for fault in report["faults"])
