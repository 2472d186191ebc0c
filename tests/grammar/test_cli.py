import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.errors import GrammarError
from agent.grammar.cli import app

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / "grammars/demo.yaml")


def run(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == status, result.output
    return result.stdout


def test_check() -> None:
    assert "0 errors, 0 warnings" in run("check", DEMO)
    assert json.loads(run("check", DEMO, "--json")) == {"ok": True, "faults": []}


def test_check_of_a_bad_file(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: a\ncommands:\n  b:\n    topic: b\n    sentences: ['go {where}']\n")
    assert f"{bad}:5:21: error [undefined_list]" in run("check", DEMO, str(bad), status=1)
    _, fault = json.loads(run("check", str(bad), "--json", status=1))["faults"]
    assert (fault["line"], fault["column"], fault["severity"]) == (5, 21, "error")
    assert fault["advice"]


def test_sample() -> None:
    assert len(run("sample", DEMO, "-n", "5").splitlines()) == 5
    drawn = json.loads(run("sample", DEMO, "-n", "5", "--seed", "1", "--json"))
    assert all(set(entry) == {"text", "command", "slots"} for entry in drawn)


def test_count() -> None:
    counted = json.loads(run("count", DEMO, "--json"))
    assert counted["sentences"] == sum(counted["commands"].values())
    assert f"{counted['sentences']:,}" in run("count", DEMO)


def test_explain() -> None:
    assert '-> conveyor_start {"conveyor": 2}' in run("explain", DEMO, "start belt two")
    assert "`engine` does not fit: expected `belt`, `conveyor`" in run(
        "explain", DEMO, "start engine two", status=1
    )
    told = run("explain", DEMO, "set the speed of conveyor two to 65 percent", status=1)
    assert re.search(r"`65` does not fit: expected .*, and \d+ more\n", told)
    assert "numbers are written as they are said" in told
    found = json.loads(run("explain", DEMO, "start belt two", "--json"))
    assert found["sounds"][1] == ["B", "EH", "L", "T"]


def test_a_word_without_sounds_is_named_with_its_place_and_the_nearest_that_has_some(tmp_path: Path) -> None:
    file = tmp_path / "press.yaml"
    file.write_text(
        "name: a\ncommands:\n  b:\n    topic: b\n    sentences: [start the müller press]\n", "utf-8"
    )
    for command in (["explain", str(file), "start the müller press"], ["confusions", str(file)]):
        refused = CliRunner().invoke(app, command).exception
        assert isinstance(refused, GrammarError)
        assert str(refused).startswith(f"{file}:5:27: error [unknown_word]")
        assert "Add `müller: M AH L ER` to `pronounce:`" in str(refused)


def test_confusions() -> None:
    pairs = json.loads(run("confusions", DEMO, "--json", "-n", "3"))
    assert set(pairs["commands"][0]["commands"]) == {"conveyor_start", "conveyor_stop"}
    assert "fifteen / fifty" in run("confusions", DEMO)


def test_published_schema_is_the_one_in_force() -> None:
    published = (ROOT / "agent/grammar/grammar.schema.json").read_text()
    assert run("schema") == published


def test_a_refused_grammar_is_a_voxline_error(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: a\n")
    result = CliRunner().invoke(app, ["count", str(bad)])
    assert isinstance(result.exception, GrammarError)
    with pytest.raises(GrammarError, match=r"commands.* is missing"):
        raise result.exception
