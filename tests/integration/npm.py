"""Programs of the plant's world that come from npm: each is installed once, into the cache."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def installed(*packages: str) -> Path:
    """Give the `node_modules` that holds these packages, named with versions; skips the test without npm."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    cache = Path(os.environ.get("VOXLINE_CACHE", Path.home() / ".cache" / "voxline"))
    folder = cache / "+".join(packages).replace("/", "_")
    done = folder / ".installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--no-audit", "--no-fund", "--omit=optional", *packages]
        result = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
        if result.returncode:
            pytest.skip(f"npm cannot install {', '.join(packages)}: {result.stderr[-300:]}")
        done.touch()
    return folder / "node_modules"
