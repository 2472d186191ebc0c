"""A grammar as JSGF, the notation that PocketSphinx reads.

Templates keep their shape, and rules and lists stay rules. What JSGF has no notation for, numbers and spelled
characters, is unfolded from the automaton of its words.
"""

import re
from collections.abc import Iterable
from itertools import permutations

from hassil.expression import Alternative, Expression, Group, ListReference, Permutation, RuleReference

from agent.errors import GrammarError
from agent.grammar.resolve import Templates, parse_templates
from agent.grammar.schema import Command, Grammar
from agent.grammar.slots import SlotDefinition, phrases
from agent.grammar.words import IGNORED, WordStates

_NOTHING = "<NULL>"
_JOINT = re.compile(r"[\w'][(<\[]|[)>\]][\w'(<\[]")
"""Where no space stands between a word or group and the next."""
_CHUNK = re.compile(f"([{re.escape(''.join(sorted(IGNORED)))}]+)")


def jsgf(grammar: Grammar) -> str:
    """Write the sentences of a grammar that has no faults as JSGF; the public rule is `sentence`.

    Raises:
        GrammarError: a template makes words out of pieces (`light[s]`); in JSGF words are whole.
    """
    return _Writer(parse_templates(grammar)).write()


class _Writer:
    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._rules: dict[str, str] = {}
        self._names: dict[int, str] = {}
        """Rule of each list, by the identity of its definition."""

    def write(self) -> str:
        sentences = [self._body(command, each) for command, _, each in self._templates.sentences]
        head = ["#JSGF V1.0 UTF-8;", f"grammar {_identifier(self._templates.grammar.name)};"]
        rules = [f"<{name}> = {body};" for name, body in self._rules.items()]
        return "\n".join([*head, f"public <sentence> = {_any(sentences)};", *rules, ""])

    def _body(self, command: Command, expression: Expression) -> str:
        """A whole sentence, rule or value."""
        text = self._text(command, expression)
        if joint := _JOINT.search(text):
            found = text[max(0, joint.start() - 20) : joint.end() + 20]
            raise GrammarError(
                f"JSGF has whole words only, but a word goes on in `{found}`. Put a space there"
            )
        return text.strip() or _NOTHING

    def _text(self, command: Command, expression: Expression) -> str:
        """The same with the template's own spaces."""
        if isinstance(expression, ListReference):
            definition = self._templates.definition(command, expression)
            if definition is None:
                raise GrammarError(f"list `{expression.list_name}` is not defined")
            return f"<{self._list(expression.list_name, definition)}>"
        if isinstance(expression, RuleReference):
            # a rule's lists may be a command's own, so each command has its own copy of the rule
            name = _identifier(f"{command.name}_{expression.rule_name}")
            if name not in self._rules:
                self._rules[name] = self._body(command, self._templates.rules[expression.rule_name])
            return f"<{name}>"
        if not isinstance(expression, Group):
            pieces = _CHUNK.split(getattr(expression, "text", ""))
            return "".join(" " if index % 2 else self._words(piece) for index, piece in enumerate(pieces))
        texts = [self._text(command, item) for item in expression.items]
        if isinstance(expression, Alternative):
            return _any(texts)
        if isinstance(expression, Permutation):
            return _any(map(" ".join, permutations(texts)))
        return "".join(texts)

    def _words(self, text: str) -> str:
        store = WordStates(self._templates.grammar.language)
        return _unfold(store, store.text(text, store.automata.state({}, 0))) if text else ""

    def _list(self, name: str, definition: SlotDefinition) -> str:
        if id(definition) not in self._names:
            store = WordStates(self._templates.grammar.language)
            rule = self._names[id(definition)] = f"list_{len(self._names)}_{_identifier(name)}"
            self._rules[rule] = _unfold(store, phrases(definition, store, store.automata.state({}, 0)))
        return self._names[id(definition)]


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _any(texts: Iterable[str]) -> str:
    options = list(dict.fromkeys(" ".join(text.split()) or _NOTHING for text in texts))
    return options[0] if len(options) == 1 and options[0].isalpha() else f"({'|'.join(options)})"


def _unfold(store: WordStates, state: int) -> str:
    """Everything that may be said from a state on; words that lead to the same stand together."""
    following: dict[int, list[str]] = {}
    for symbol, target in store.automata.arcs[state]:
        following.setdefault(target, []).append(store.words[symbol].text)
    if not following:
        return ""
    said = _any(f"{_any(words)} {_unfold(store, target)}" for target, words in following.items())
    return f"[{said}]" if store.automata.outcomes[state] >= 0 else said
