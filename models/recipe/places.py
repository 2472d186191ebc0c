"""Where the recipe finds and leaves things; `VOXLINE_CACHE` and `VOXLINE_SPEECH` say otherwise."""

import os
from pathlib import Path

CACHE = Path(os.environ.get("VOXLINE_CACHE", "~/.cache/voxline")).expanduser()
SPEECH = Path(os.environ.get("VOXLINE_SPEECH", Path(__file__).parents[3] / "shared" / "speech"))
CORPUS = CACHE / "corpus"
CONVERTER = CACHE / "convert-venv/bin/python"
BUNDLES = Path(__file__).parents[1] / "bundles"
