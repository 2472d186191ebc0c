"""The long proofs of updates.

python -m tests.soak.updates power --cuts 1000   # cut the power at random points of repeated updates
python -m tests.soak.updates power --cuts 50 --without-fsync   # the control: this must fail
python -m tests.soak.updates faults              # die, EIO and ENOSPC at every single step
python -m tests.soak.updates fleet               # a bad release meets 20 stations
python -m tests.soak.updates conformance FOLDER  # the TUF project's suite, in FOLDER; needs faketime
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from tests.updates.fleet import bad_canary
from tests.updates.house import make_repository
from tests.updates.powercut import cut_often, publish_releases

ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    power = commands.add_parser("power")
    power.add_argument("--cuts", type=int, default=1000)
    power.add_argument("--seed", type=int, default=int(time.time()))
    power.add_argument("--without-fsync", action="store_true")
    commands.add_parser("faults")
    commands.add_parser("fleet")
    commands.add_parser("conformance").add_argument("suite", type=Path)
    given = parser.parse_args()
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="voxline-soak-", dir="/dev/shm") as folder:
        if given.command == "power":
            if given.without_fsync:
                os.fsync = lambda fd: None  # noqa: ARG005
            repository = make_repository(Path(folder, "repository"))
            publish_releases(repository)
            counts = cut_often(Path(folder), repository, given.cuts, given.seed)
            say(f"{given.cuts} power cuts, seed {given.seed}: {counts['old']} woke with the old bundle,")
            say(f"{counts['new']} with the new one, none torn, no outcome lost")
        elif given.command == "faults":
            environment = {**os.environ, "VOXLINE_FAULT_STRIDE": "1"}
            command = [sys.executable, "-m", "pytest", "-q", "tests/updates/test_faults.py"]
            return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
        elif given.command == "conformance":
            return conform(Path(folder), given.suite.absolute())
        else:
            say("\n".join(bad_canary(Path(folder))))
    say(f"{time.monotonic() - start_s:.0f} s")
    return 0


def conform(folder: Path, suite: Path) -> int:
    """Let tuf-conformance try our client, from an environment of its own: it pins what it needs."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", suite], check=True)
    client = f"{sys.executable} -m tests.updates.conformance"
    command: list[str | Path] = [
        python,
        "-m",
        "pytest",
        "-q",
        suite / "tuf_conformance",
        "--entrypoint",
        client,
    ]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
