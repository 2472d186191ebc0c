"""Does a grammar fit the policy's settings? Asked before it is taken into use."""

from agent.errors import GrammarError
from agent.grammar.schema import Grammar, Risk
from agent.settings import Commands


def require_fit(settings: Commands, grammar: Grammar) -> None:
    """Check that operators can reach every command of `grammar`.

    Raises:
        GrammarError: a phrase is missing without which they could not.
    """
    if settings.arming == "wake" and not grammar.wake:
        raise GrammarError(
            f'grammar {grammar.name}: [commands] arming is "wake", but it has no wake phrase; add `wake:`'
        )
    risky = [name for name, command in grammar.commands.items() if command.risk is Risk.HIGH]
    if risky and not grammar.confirm:
        raise GrammarError(
            f"grammar {grammar.name}: `{risky[0]}` has high risk, but nothing can be said to confirm it; "
            "add a phrase to `confirm:`"
        )
