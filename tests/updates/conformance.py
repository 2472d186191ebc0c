"""Our client behind the command line that tuf-conformance speaks.

python -m tests.soak.updates conformance FOLDER   # where the suite was checked out
"""

import argparse
import shutil
import sys
from pathlib import Path

from agent.errors import UpdateError
from agent.updates.transports.https import Https
from agent.updates.transports.transport import METADATA, TARGETS, Timeouts
from agent.updates.trust import Trust


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--metadata-url")
    parser.add_argument("--metadata-dir", type=Path)
    parser.add_argument("--target-name", action="append")
    parser.add_argument("--target-dir", type=Path)
    parser.add_argument("--target-base-url")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("init").add_argument("root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    given = parser.parse_args()
    state = given.metadata_dir.parent / "state"
    state.mkdir(exist_ok=True)
    if given.command == "init":
        shutil.copy(given.root, state / "root.json")
        shutil.copy(given.root, given.metadata_dir / "root.json")
        return 0
    base = given.metadata_url.removesuffix(METADATA)
    assert given.target_base_url in (None, base + TARGETS)
    trust = Trust(
        (state / "root.json").read_bytes(),
        given.metadata_dir,
        given.target_dir or state / "documents",
        state / "floor.json",
        Https(base, timeouts=Timeouts(silence_s=5, tries=2, max_pause_s=0.1)),
    )
    try:
        trust.refresh()
        documents = [trust.read(name) for name in given.target_name or []]
    except UpdateError as error:
        sys.stderr.write(f"error[{error.code}]: {error}\n")
        return 1
    return int(None in documents)


if __name__ == "__main__":
    sys.exit(main())
