"""Files that grow by a line at a time, and are gone on with after a stop."""

from pathlib import Path


def cut_torn_line(path: Path) -> None:
    """Cut off what follows the last line break, which a stop left half written; the file may be missing."""
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
