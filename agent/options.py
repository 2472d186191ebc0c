"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        readable=False,  # whoever reads it says why it cannot be read, as of a missing one
        help="Settings file; else VOXLINE_CONFIG, else /etc/voxline/config.toml.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
