"""An arm64 Python that runs here under qemu, with the real rknn-toolkit-lite2 wheel; built once, then cached.

Nothing is installed on this machine: apt and pip only download for the other architecture and unpack.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PROGRAMS = {
    "qemu-aarch64-static": "qemu-user-static",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}
DEBIAN = [
    *(
        "libc6",
        "libgcc-s1",
        "libstdc++6",
        "zlib1g",
        "libexpat1",
        "libssl3",
        "libffi8",
        "libbz2-1.0",
        "liblzma5",
    ),
    *("libuuid1", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
]
WHEELS = ["rknn-toolkit-lite2==2.5.0", "numpy", "psutil", "pydantic", "structlog"]
COMPATIBLE = b"rockchip,rk3568-evb1-ddr4-v10\0rockchip,rk3568\0"


def arm64_tree() -> Path:
    """Return the root of the tree; skips the test where it cannot be had."""
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install {package}")
    cache = Path(os.environ.get("VOXLINE_CACHE", Path.home() / ".cache/voxline"))
    recipe = hashlib.sha256(repr((DEBIAN, WHEELS, COMPATIBLE)).encode()).hexdigest()[:12]
    tree = cache / f"arm64-{recipe}"
    if not tree.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _build(Path(scratch))
            (Path(scratch) / "tree").rename(tree)
    return tree


def python(tree: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the arm64 Python with this repository and the wheels on its path."""
    paths = [Path(__file__).parents[2], tree / "wheels"]
    return subprocess.run(
        ["qemu-aarch64-static", "-L", str(tree), str(tree / "usr/bin/python3.11"), *arguments],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": ":".join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _build(scratch: Path) -> None:
    tree, packages = scratch / "tree", scratch / "packages"
    for folder in (tree / "dev/dri", tree / "proc/device-tree", packages, scratch / "apt/lists/partial"):
        folder.mkdir(parents=True)
    (scratch / "apt/status").touch()
    apt = ["apt-get", "-q", "-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64"]
    apt += ["-o", f"Dir::State={scratch}/apt", "-o", f"Dir::State::status={scratch}/apt/status"]
    apt += ["-o", f"Dir::Cache={scratch}/apt"]
    _run([*apt, "update"], packages)
    _run([*apt, "download", *DEBIAN], packages)
    for package in sorted(packages.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(tree)], packages)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--target",
        str(tree / "wheels"),
        "--only-binary=:all:",
    ]
    pip += ["--python-version", "3.11", "--implementation", "cp"]
    for platform in ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64"):
        pip += ["--platform", platform]
    _run([*pip, *WHEELS], packages)
    (tree / "proc/device-tree/compatible").write_bytes(COMPATIBLE)
    (tree / "dev/dri/renderD129").touch()  # the wheel looks whether it runs in a container without the NPU


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        pytest.skip(f"no arm64 Python here: {' '.join(command[:1])} failed: {done.stderr.strip()[-300:]}")
