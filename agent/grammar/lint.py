"""`voxline grammar check`: every fault of a grammar file."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path as File

from agent.errors import GrammarError
from agent.grammar.checks import refused, silent_words, spoken_claims
from agent.grammar.compiler import build_graph, sounds_of
from agent.grammar.confusions import ALIKE, command_pairs
from agent.grammar.fault import Fault, FaultyGrammarError, Severity, nearest
from agent.grammar.graph import Graph
from agent.grammar.homophones import same_sounds
from agent.grammar.lexicon import Lexicon, Origin, normal
from agent.grammar.load import load_grammar
from agent.grammar.payload import slots_in
from agent.grammar.places import lists_of, place_of_commands, place_of_word, sentences_path
from agent.grammar.resolve import Templates, parse_templates
from agent.grammar.schema import Grammar, NumberRange, Risk
from agent.grammar.sentences import Sentences, build_sentences
from agent.grammar.source import Path

MIN_SOUNDS = 4
"""Shorter phrases are heard in noise where nobody spoke."""
_MAX_PAIRS = 20


def check_file(path: File, tokens: Sequence[str] | None = None) -> list[Fault]:
    """All faults of the grammar at `path`, in the order of the file.

    Args:
        path: grammar file.
        tokens: token table of the model it must fit; None to leave that out.
    """
    try:
        grammar = load_grammar(path)
    except FaultyGrammarError as error:
        return list(error.faults)
    except GrammarError as error:
        message, _, advice = str(error).removeprefix(f"{path}: ").rpartition(". ")
        return [Fault(str(path), 1, 1, Severity.ERROR, "unreadable", message, advice)]
    return check(grammar, tokens)


def check(grammar: Grammar, tokens: Sequence[str] | None = None) -> list[Fault]:
    """All faults of `grammar`, in the order of the file."""
    templates = parse_templates(grammar)
    faults = [*refused(templates), *_unpublished(templates), *_unreached(grammar)]
    if not templates.broken:  # a list may be used where the text cannot be read
        faults += _unused(templates)
    sound = templates.sound()
    if sound.sentences:
        try:
            sentences = build_sentences(sound)
        except FaultyGrammarError as error:
            faults += error.faults
        else:
            faults += _spoken(grammar, sentences, tokens)
    return sorted(set(faults), key=lambda fault: (fault.line, fault.column, fault.code, fault.message))


def _unused(templates: Templates) -> Iterator[Fault]:
    """Lists and rules that no sentence leads to."""
    grammar = templates.grammar
    unused: set[Path] = {path for path, _ in lists_of(grammar)} | {("rules", name) for name in grammar.rules}
    for command, _, expression in templates.sentences:
        unused -= templates.leads_to(command, expression)
    for path in unused:
        kind = "rule" if path[0] == "rules" else "list"
        message, advice = f"{kind} `{path[-1]}` is never used", "Use it in a sentence, or remove it"
        yield grammar.source.fault(path, f"unused_{kind}", message, advice, Severity.WARNING, key=True)


def _unreached(grammar: Grammar) -> Iterator[Fault]:
    """Ranges whose steps do not lead to their end."""
    for path, entry in lists_of(grammar):
        if isinstance(entry, NumberRange) and entry.last != entry.maximum:
            message = f"`maximum` {entry.maximum} is not reached: the last value is {entry.last}"
            advice = f"Set `maximum: {entry.last}`, or choose another step"
            place = (*path, "maximum")
            yield grammar.source.fault(place, "unreached_maximum", message, advice, Severity.WARNING)


def _pronunciations(grammar: Grammar, words: set[str]) -> Iterator[Fault]:
    """Pronunciations that change nothing, or are of another language than the grammar's."""
    for word, texts in grammar.pronounce.items():
        path = ("pronounce", word)
        if normal(word) not in words:
            advice = nearest(normal(word), sorted(words), "Use it in a sentence, or remove it")
            message = f"`{word}` is in no sentence"
            yield grammar.source.fault(
                path, "unused_pronunciation", message, advice, Severity.WARNING, key=True
            )
        small = [sound for sound in " ".join(texts).split() if sound.islower()]
        if small and grammar.language == "en":
            message = f"`{small[0]}` is a sound of Mandarin"
            advice = "English sounds are capitals, as in `SH IY`; see docs/grammar.md"
            yield grammar.source.fault(path, "foreign_sound", message, advice, Severity.WARNING)


def _unpublished(templates: Templates) -> Iterator[Fault]:
    """Slots that are heard but not published."""
    for command in templates.grammar.commands.values():
        for slot in sorted(templates.slots(command) - set(slots_in(command.payload))):
            message = f"slot `{slot}` is said but not published"
            advice = f'Add `{slot}: "{{{slot}}}"` to the payload'
            path: Path = ("commands", command.name)
            if (unquoted := _unquoted(command.payload, slot)) is not None:
                message += f": without quotes `{{{slot}}}` is a mapping"
                advice = f'Write "{{{slot}}}" in quotes'
                path = (*path, "payload", *unquoted)
            grammar = templates.grammar
            key = unquoted is None
            yield grammar.source.fault(path, "unpublished_slot", message, advice, Severity.WARNING, key=key)


def _unquoted(payload: object, slot: str) -> Path | None:
    """Where `payload` holds {slot} that YAML took for a mapping of `slot` to nothing."""
    if payload == {slot: None}:
        return ()
    parts: Iterable[tuple[str | int, object]] = ()
    if isinstance(payload, dict | list):
        parts = payload.items() if isinstance(payload, dict) else enumerate(payload)
    for key, part in parts:
        if (path := _unquoted(part, slot)) is not None:
            return (key, *path)
    return None


def _spoken(grammar: Grammar, sentences: Sentences, tokens: Sequence[str] | None) -> Iterator[Fault]:
    """Faults of words and sounds."""
    yield from spoken_claims(grammar, sentences)
    lexicon = Lexicon(grammar.pronounce)
    words = {word.text for word in sentences.words}
    yield from _pronunciations(grammar, {normal(text) for text in words})
    for text in sorted(words):
        pronunciation = lexicon[text]
        if pronunciation.origin is Origin.GUESS:
            path, offset = place_of_word(grammar, text)
            sounds = " ".join(pronunciation.variants[0])
            message = f"`{text}` is in no dictionary; guessed `{sounds}`"
            advice = f"Listen to it, then add `{text}: {sounds}` to `pronounce:`, corrected where it is wrong"
            yield grammar.source.fault(path, "guessed_word", message, advice, Severity.WARNING, offset=offset)
    silent = list(silent_words(grammar, sentences, lexicon))
    yield from silent
    if silent:
        return
    yield from _short(grammar, sentences, lexicon)
    try:
        graph = build_graph(sentences, lexicon, sounds_of(sentences, lexicon))
    except GrammarError as error:
        yield grammar.source.fault_of(("commands",), "too_large", error)
        return
    yield from same_sounds(grammar, graph)
    yield from _alike(grammar, graph)
    try:
        if tokens is not None:
            build_graph(sentences, lexicon, tokens)
    except GrammarError as error:
        yield grammar.source.fault_of((), "missing_sounds", error)


def _alike(grammar: Grammar, graph: Graph) -> Iterator[Fault]:
    """Commands at most a sound apart of which none is read back."""
    risks = {command.name: command.risk for command in graph.commands}
    pairs = (
        pair
        for pair in command_pairs(graph, ALIKE)
        if pair.distance and Risk.HIGH not in [risks[name] for name in pair.commands]  # 0 is a homophone
    )
    for pair in islice(pairs, _MAX_PAIRS):
        said = [f"`{name}` (`{text}`)" for name, text in zip(pair.commands, pair.sentences, strict=True)]
        message = f"{said[0]} and {said[1]} sound alike: {pair.distance:.2f} sounds apart"
        place = place_of_commands(grammar, pair.commands)
        yield grammar.source.fault(place, "alike", message, pair.advice, Severity.WARNING)


def _short(grammar: Grammar, sentences: Sentences, lexicon: Lexicon) -> Iterator[Fault]:
    """The shortest sentence of each command, where it is too short to be told from noise."""
    automata = sentences.automata
    sounds = [min(map(len, lexicon[word.text].variants)) for word in sentences.words]
    shortest: dict[int, dict[int, tuple[int, str]]] = {}
    for state in automata.reachable(sentences.start):
        best: dict[int, tuple[int, str]] = {}
        if automata.outcomes[state] >= 0:
            best[automata.outcomes[state]] = 0, ""
        for symbol, target in automata.arcs[state]:
            for outcome, (length, rest) in shortest[target].items():
                text = f"{sentences.words[symbol].text} {rest}".strip()
                best[outcome] = min(best.get(outcome, (10**6, "")), (length + sounds[symbol], text))
        shortest[state] = best
    for outcome, (length, text) in shortest[sentences.start].items():
        if length < MIN_SOUNDS:
            command = sentences.commands[outcome]
            message = f"`{text}` has only {length} sound{'' if length == 1 else 's'}"
            advice = f"Add a word: phrases under {MIN_SOUNDS} sounds are heard in noise"
            path = (*sentences_path(command), 0)
            yield grammar.source.fault(path, "short_phrase", message, advice, Severity.WARNING)
