"""What the compiler refuses beyond broken templates: false claims, unfillable payloads, unknown sounds."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from agent.grammar.fault import Fault, nearest
from agent.grammar.lexicon import Lexicon, Origin, inventory
from agent.grammar.payload import slots_in
from agent.grammar.places import lists_of, place_of_word, values_path
from agent.grammar.resolve import Templates
from agent.grammar.schema import Command, Grammar, NamedValues, Risk
from agent.grammar.sentences import Sentences
from agent.grammar.source import Path

_CLAIM = re.compile(
    r"\b(e ?stops?|emergenc\w*|safety|inter ?locks?|fail ?safe|lock ?outs?)\b|急停|紧急|安全|联锁|互锁"
)
_CLAIM_FIRST = re.compile(r"e|inter|fail|lock|[急紧安联互]", re.IGNORECASE)
_ADVICE = (
    "Voice is never a safety function: wire it. A spoken stop is a process stop: name it like `stop conveyor`"
)


def refused(templates: Templates) -> Iterator[Fault]:
    """Everything in a grammar that is refused before its sentences are built."""
    grammar = templates.grammar
    yield from templates.faults
    yield from _pronunciations(grammar)
    yield from _claims(grammar, _values(grammar))
    for command in grammar.commands.values():
        yield from _claims(grammar, _names(command))
        yield from _payload(templates, command)
    if not grammar.confirm and any(command.risk is Risk.HIGH for command in grammar.commands.values()):
        advice = "Give at least one phrase, or leave `confirm:` out for the default"
        yield grammar.source.fault(
            ("confirm",), "no_confirm", "commands of high risk need confirm phrases", advice
        )


def spoken_claims(grammar: Grammar, sentences: Sentences) -> Iterator[Fault]:
    """Sentences that claim a safety function, however their words were put together."""
    automata, words = sentences.automata, sentences.words
    claims: dict[str, int] = {}
    for state in automata.reachable(sentences.start):
        for symbol, target in automata.arcs[state]:
            text = words[symbol].text.lower()
            if _CLAIM.search(text):
                claims.setdefault(text, symbol)
            elif _CLAIM_FIRST.match(text):
                for follower, _ in automata.arcs[target]:
                    pair = f"{text} {words[follower].text.lower()}"
                    if _CLAIM.search(pair) or _CLAIM.search(pair.replace(" ", "")):
                        claims.setdefault(pair, follower)
    for text, symbol in claims.items():
        path = place_of_word(grammar, words[symbol].text)
        yield grammar.source.fault(
            path[0], "safety_claim", f"`{text}` claims a safety function", _ADVICE, offset=path[1]
        )


def silent_words(grammar: Grammar, sentences: Sentences, lexicon: Lexicon) -> Iterator[Fault]:
    """Words of which nobody knows how they sound."""
    for text in sorted({word.text for word in sentences.words}):
        if lexicon[text].origin is not Origin.NOBODY:
            continue
        path, offset = place_of_word(grammar, text)
        advice = "Add it to `pronounce:`, as sounds with spaces between them"
        # `müller` sounds nearly as `muller`: more of a start than a table of sounds
        plain = "".join(filter(str.isascii, unicodedata.normalize("NFKD", text.casefold())))
        if text.isalpha() and len(plain) >= len(text) and (near := lexicon[plain].variants):
            advice = f"Add `{text}: {' '.join(near[0])}` to `pronounce:`, corrected where it is wrong"
        message = f"nobody knows how `{text}` sounds"
        yield grammar.source.fault(path, "unknown_word", message, advice, offset=offset)


def _claims(grammar: Grammar, published: Iterable[tuple[Path, str]]) -> Iterator[Fault]:
    """Texts that leave the station and claim a safety function."""
    for path, text in published:
        plain = re.sub(r"[^\w]|_", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)).lower()
        if _CLAIM.search(plain):
            key = len(path) == 2 or text == path[-1]
            yield grammar.source.fault(
                path, "safety_claim", f"`{text}` claims a safety function", _ADVICE, key=key
            )


def _names(command: Command) -> Iterator[tuple[Path, str]]:
    """What every order of `command` carries."""
    yield ("commands", command.name), command.name
    yield ("commands", command.name, "topic"), command.topic
    for path, text in _payload_texts(command.payload):
        yield ("commands", command.name, "payload", *path), text


def _values(grammar: Grammar) -> Iterator[tuple[Path, str]]:
    """What slots put into payloads: the `out` of every list's values."""
    for path, entry in lists_of(grammar):
        if isinstance(entry, NamedValues):
            inner = values_path(grammar, path)
            for index, named in enumerate(entry.values):
                if isinstance(named.value, str):
                    yield (*inner, index, "out"), named.value


def _payload_texts(payload: object) -> Iterator[tuple[Path, str]]:
    if isinstance(payload, str):
        yield (), payload
    elif isinstance(payload, dict):
        for key, value in payload.items():
            yield (key,), key
            yield from (((key, *path), text) for path, text in _payload_texts(value))
    elif isinstance(payload, list):
        for index, value in enumerate(payload):
            yield from (((index, *path), text) for path, text in _payload_texts(value))


def _payload(templates: Templates, command: Command) -> Iterator[Fault]:
    spoken = templates.slots(command)
    for slot in dict.fromkeys(slots_in(command.payload)):
        if slot not in spoken:
            path = next(path for path, text in _payload_texts(command.payload) if slot in slots_in(text))
            message = f"payload names slot `{slot}`, which no sentence of `{command.name}` has"
            advice = nearest(slot, sorted(spoken))
            place = ("commands", command.name, "payload", *path)
            yield templates.grammar.source.fault(place, "unknown_slot", message, advice)


def _pronunciations(grammar: Grammar) -> Iterator[Fault]:
    for word, texts in grammar.pronounce.items():
        for sound in " ".join(texts).split():
            if sound not in inventory():
                own = [known for known in inventory() if known.isupper() == (grammar.language == "en")]
                advice = nearest(sound.upper() if sound.upper() in own else sound, own)
                path = ("pronounce", word)
                yield grammar.source.fault(path, "unknown_sound", f"`{sound}` is no sound", advice)
