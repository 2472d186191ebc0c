"""What operators can say: schema, pronunciations, and the compiled phone graph."""

from agent.grammar.compiler import compile_grammar
from agent.grammar.load import load_grammar

__all__ = ["compile_grammar", "load_grammar"]
