"""How grammars, bundles, their releases, channels and places in the plant are named and numbered."""

import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic.types import StringConstraints

NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
VERSION = r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}([.+-][0-9A-Za-z.+-]{1,40})?"
"""The three numbers order versions; what follows only names them."""
ReleaseName = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Version = Annotated[str, StringConstraints(pattern=f"^{VERSION}$")]


def _topic_level(name: str) -> str:
    if not re.fullmatch(r"[^\W_][\w.-]{0,63}", name):
        raise ValueError(
            "use 1 to 64 letters, digits, '_', '-', '.', a letter or digit first: it is one level of a topic"
        )
    return name


TopicLevel = Annotated[str, AfterValidator(_topic_level)]
"""In any script."""
