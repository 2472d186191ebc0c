"""`voxline grammar`: check a grammar, and look at what can be said."""

import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.acoustics.bundle import load_bundle
from agent.grammar.compiler import accepted_sentences, audible_sentences, build_graph, sounds_of
from agent.grammar.confusions import command_pairs, word_pairs
from agent.grammar.fault import Severity, listed
from agent.grammar.inspect import Parse, counts, explain, sample
from agent.grammar.lint import check_file
from agent.grammar.load import load_grammar
from agent.grammar.schema import Grammar
from agent.options import Json

app = typer.Typer(help="What can be said: check it, sample it, explain it.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="Grammar file.", show_default=False)]


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Grammar files.", show_default=False)],
    bundle: Annotated[
        Path | None, typer.Option(help="Model bundle whose sounds the grammar must fit.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Name every fault with its place and what to do. Exit status 1 if a grammar would be refused."""
    tokens = load_bundle(bundle).manifest.tokens if bundle else None
    faults = [fault for file in files for fault in check_file(file, tokens)]
    errors = sum(fault.severity is Severity.ERROR for fault in faults)
    if as_json:
        _print({"ok": not errors, "faults": [asdict(fault) for fault in faults]})
    else:
        for fault in faults:
            typer.echo(str(fault))
        typer.echo(f"{len(files)} checked: {errors} errors, {len(faults) - errors} warnings")
    if errors:
        raise typer.Exit(1)


@app.command("sample")
def sample_(
    file: File,
    count: Annotated[int, typer.Option("-n", min=1, help="How many sentences.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same sentences.")] = 0,
    *,
    as_json: Json = False,
) -> None:
    """Print random sentences and what they mean."""
    drawn = islice(sample(accepted_sentences(load_grammar(file)), seed), count)
    found = [(" ".join(word.text for word in words), meaning) for words, meaning in drawn]
    if as_json:
        _print([{"text": text, "command": m.command, "slots": dict(m.slots)} for text, m in found])
        return
    for text, meaning in found:
        typer.echo(
            f"{text}  ->  {meaning.command} {_json(dict(meaning.slots)) if meaning.slots else ''}".rstrip()
        )


@app.command("count")
def count_(file: File, *, as_json: Json = False) -> None:
    """Say how many sentences there are: counted, not listed."""
    per_command = counts(accepted_sentences(load_grammar(file)))
    if as_json:
        _print({"sentences": sum(per_command.values()), "commands": dict(per_command)})
        return
    for name, number in per_command.items():
        typer.echo(f"{number:>16,}  {name}")
    typer.echo(f"{sum(per_command.values()):>16,}  all")


@app.command("explain")
def explain_(
    file: File, text: Annotated[str, typer.Argument(help="What is said.")], *, as_json: Json = False
) -> None:
    """Show how a typed sentence is read, with its sounds. Exit status 1 if it is not in the grammar."""
    found = explain(*audible_sentences(load_grammar(file)), text)
    if as_json:
        _print(asdict(found))
    elif isinstance(found, Parse):
        for word, sounds in zip(found.words, found.sounds, strict=True):
            marks = f"[{word.opens}" if word.opens else ""
            marks += f"{word.closes}]" if word.closes and not word.opens else "]" if word.closes else ""
            typer.echo(f"{word.text:<16}{' '.join(sounds):<32}{marks}".rstrip())
        typer.echo(f"-> {found.meaning.command} {_json(dict(found.meaning.slots))}")
    else:
        after = f"after `{found.read}`" if found.read else "at the beginning"
        refused = f" `{found.refused}` does not fit:" if found.refused else ""
        wanted = f"expected {listed(found.expected, 12)}" if found.expected else ""
        parts = ["the sentence may end" if found.complete else "", wanted]
        typer.echo(f"not in the grammar: {after}{refused or ','} {' or '.join(filter(None, parts))}")
        if any(character.isdigit() for character in found.refused):
            typer.echo("numbers are written as they are said: `twelve hundred`, `一千二百`")
    if not isinstance(found, Parse):
        raise typer.Exit(1)


@app.command()
def confusions(
    file: File,
    count: Annotated[int, typer.Option("-n", min=1, help="How many of each kind.")] = 10,
    *,
    as_json: Json = False,
) -> None:
    """List the commands, and the words of slots, that sound most alike: worst first."""
    sentences, lexicon = audible_sentences(load_grammar(file))
    commands = command_pairs(build_graph(sentences, lexicon, sounds_of(sentences, lexicon)))[:count]
    words = word_pairs(sentences, lexicon)[:count]
    if as_json:
        _print({"commands": [asdict(pair) for pair in commands], "words": [asdict(pair) for pair in words]})
        return
    typer.echo("Commands, by how many sounds apart they are:")
    for pair in commands:
        typer.echo(f"  {pair.distance:4.2f}  {pair.commands[0]}: {pair.sentences[0]}")
        typer.echo(f"        {pair.commands[1]}: {pair.sentences[1]}")
        typer.echo(f"        {pair.advice}")
    typer.echo("Words that exchange one value for another:")
    for word in words:
        typer.echo(f"  {word.distance:4.2f}  {' / '.join(word.words):<24}{', '.join(word.slots)}")
    if words:
        typer.echo(f"  {words[0].advice}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of grammar files, for editors."""
    _print(Grammar.model_json_schema())


def _print(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
