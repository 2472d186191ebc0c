"""Controllers to roll out to: this machine's own tree under systemd, each with a layer of its own over it.

Nothing is downloaded to make one, and nothing that happens in it reaches this machine but by its network.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.integration.brokers import HOST, eventually, free_port

BOOT_S = 60.0
PROGRAMS = {"systemd-nspawn": "systemd-container", "sshd": "openssh-server", "ssh": "openssh-client"}
WANTS = Path("etc/systemd/system/multi-user.target.wants")


def require_controllers() -> None:
    """Skip the calling test module where none can be booted."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program, path=path)]
    if missing:
        pytest.skip(f"needs apt-get install {' '.join(missing)}", allow_module_level=True)
    if os.geteuid() != 0:
        pytest.skip("needs root: systemd-nspawn boots controllers", allow_module_level=True)


class Controller:
    """A machine with systemd and an SSH server.

    Args:
        folder: for its layer and its key, empty.
        name: of its own.
        files: content by path in its tree, beside what this machine has.
        binds: what `systemd-nspawn --bind` is told, for what lies outside its tree.
    """

    def __init__(self, folder: Path, name: str, files: dict[str, str], binds: Sequence[str] = ()) -> None:
        self.name, self.port = name, free_port()
        self._folder, self._tree, self._binds = folder, folder / "tree", binds
        self.key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        self._files = files | {
            "etc/ssh/sshd_config.d/test.conf": f"Port {self.port}\nListenAddress {HOST}\n",
            "root/.ssh/authorized_keys": self.key.with_suffix(".pub").read_text(),
            "etc/hostname": name,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # A tmpfs, since an overlay may not lie on another, as it would where this machine is a container.
        self._tree.mkdir()
        self._mount("-t", "tmpfs", "tmpfs", str(self._folder / "tree"))
        for part in ("upper", "work", "root"):
            (self._tree / part).mkdir()
        upper = self._tree / "upper"
        for path, content in self._files.items():
            file = upper / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        (upper / "root").chmod(0o700)
        for unit in (Path("/") / WANTS).iterdir():  # this machine's own services would take its ports
            (upper / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
            (upper / "etc/systemd/system" / unit.name).symlink_to("/dev/null")
        (upper / WANTS).mkdir()
        ssh = upper / "etc/systemd/system/reach.service"
        ssh.write_text("[Service]\nRuntimeDirectory=sshd\nExecStart=/usr/sbin/sshd -D\n")
        (upper / WANTS / "reach.service").symlink_to("../reach.service")
        layers = f"lowerdir=/,upperdir={upper},workdir={self._tree / 'work'}"
        self._mount("-t", "overlay", "overlay", "-o", layers, str(self._tree / "root"))
        try:
            self.boot()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.power_off()
        subprocess.run(["umount", self._tree / "root"], check=True)
        subprocess.run(["umount", self._tree], check=True)

    def boot(self) -> None:
        """Boot it, and wait until it can be reached."""
        log = (self._folder / "console.log").open("ab")
        self._process = subprocess.Popen(
            [
                "systemd-nspawn",
                f"--directory={self._tree / 'root'}",
                f"--machine={self.name}",
                *(f"--bind={bind}" for bind in self._binds),
                *("--register=no", "--keep-unit", "--boot", "--console=pipe", "--quiet"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        assert eventually(lambda: self.run("true").returncode == 0, BOOT_S), (
            self._folder / "console.log"
        ).read_text(errors="replace")

    def power_off(self) -> None:
        """Take its power away."""
        if self._process:
            pid = self._process.pid
            for init in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                os.kill(int(init), signal.SIGKILL)  # with it all that it started dies
            self._process.wait(BOOT_S)
            self._process = None

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in its shell."""
        return subprocess.run(
            ["ssh", *self.options, "-p", str(self.port), "-i", self.key, f"root@{HOST}", command],
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def options(self) -> list[str]:
        """What SSH takes to believe a machine that did not exist a minute ago."""
        return [
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
        ]

    def _mount(self, *arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True)
