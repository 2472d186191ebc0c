"""How grammars, bundles, their releases and channels are named and numbered."""

from typing import Annotated

from pydantic.types import StringConstraints

NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
VERSION = r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}([.+-][0-9A-Za-z.+-]{1,40})?"
"""The three numbers order versions; what follows only names them."""
ReleaseName = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Version = Annotated[str, StringConstraints(pattern=f"^{VERSION}$")]
