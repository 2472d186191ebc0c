"""`python -m tests.panel.vm`: test_kernel.py in a virtual machine whose kernel plays buttons and lamps.

For machines whose own kernel has no gpio-sim or uinput. Debian's kernel is fetched and unpacked, not
installed; it has no gpio-sim, so that module is built from Debian's source. The machine sees this one's
files, read-only. The first time it fetches 380 MB and takes four minutes, then a minute and a half.
"""

import gzip
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

SERIES = "6.12"
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "make": "make",
    "gcc": "gcc",
    "modprobe": "kmod",
    "apt-get": "apt",
}
"""What must be here, and the package that has it."""
REPOSITORY = Path(__file__).parents[2]
CACHE = Path(os.environ.get("VOXLINE_CACHE", Path.home() / ".cache/voxline")) / f"kernel-{SERIES}"
SOURCES = {"core.c": "drivers/gpio/gpio-sim.c", "irq.c": "kernel/irq/irq_sim.c"}
MODULES = ("9pnet_virtio", "9p", "configfs", "uinput", "evdev")
INIT = """#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod $module; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /mnt
mount -t proc proc /mnt/proc; mount -t sysfs sys /mnt/sys; mount --move /dev /mnt/dev
mount -t tmpfs tmp /mnt/tmp; mount -t configfs config /mnt/sys/kernel/config; ip link set lo up
chroot /mnt /bin/sh -c 'cd {repository} && HOME=/tmp PYTHONDONTWRITEBYTECODE=1 {python} -m pytest -q -rs \\
    --color=no -p no:cacheprovider tests/panel/test_kernel.py && echo all passed'
poweroff -f
"""


def main() -> None:
    """Fetch and build what is missing, boot, and exit with 1 unless every test passed."""
    if missing := [package for program, package in PROGRAMS.items() if shutil.which(program) is None]:
        sys.exit(f"install first: apt-get install {' '.join(missing)}")
    if not (CACHE / "gpio-sim.ko").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE.parent) as scratch:
            _fetch(Path(scratch))
            _build(Path(scratch))
    said = _boot()
    sys.stdout.write(said)
    sys.exit("all passed" not in said or "skipped" in said)


def _output(*command: str | Path, **options: object) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout  # type: ignore[call-overload, no-any-return]


def _fetch(scratch: Path) -> None:
    """Unpack Debian's kernel, its headers and the two sources into `scratch`."""
    depends = _output("apt-cache", "depends", f"linux-image-{SERIES}-amd64")
    image = re.findall(rf"linux-image-({re.escape(SERIES)}\S*)", depends.partition("\n")[2])[0]
    version = image.removesuffix("-amd64")
    packages = [f"linux-image-{image}", f"linux-headers-{image}", f"linux-headers-{version}-common"]
    packages += [f"linux-kbuild-{version}", f"linux-source-{SERIES}"]
    for package in packages:
        sys.stderr.write(f"fetching {package}\n")
        _output("apt-get", "download", "-q", package, cwd=scratch)
        (archive,) = scratch.glob(f"{package}_*.deb")
        _output("dpkg-deb", "-x", archive, scratch)
        archive.unlink()
    (source,) = scratch.glob("usr/src/linux-source-*.tar.xz")
    (scratch / "module").mkdir()
    with tarfile.open(source) as tree:
        wanted = {f"{source.name.removesuffix('.tar.xz')}/{path}": name for name, path in SOURCES.items()}
        for member in tree:
            if member.name in wanted and (text := tree.extractfile(member)):
                # What a module may not call is done by what it may.
                code = text.read().replace(
                    b"handle_simple_irq(irq_to_desc(irqnum))", b"generic_handle_irq_safe(irqnum)"
                )
                (scratch / "module" / wanted[member.name]).write_bytes(code)


def _build(scratch: Path) -> None:
    """Build gpio-sim.ko; keep the kernel and the modules that the machine loads, in their order."""
    (headers,) = scratch.glob("usr/src/linux-headers-*-amd64")
    for makefile in scratch.glob("usr/src/linux-headers-*/Makefile"):
        makefile.write_text(re.sub(r"(?<![\w.])/usr/(src|lib)/", rf"{scratch}/usr/\1/", makefile.read_text()))
    (headers / "vmlinux").unlink(missing_ok=True)  # else the module would need pahole
    (scratch / "module/Makefile").write_text("obj-m := gpio-sim.o\ngpio-sim-y := core.o irq.o\n")
    _output("make", "-C", headers, f"M={scratch}/module", "modules")
    release = headers.name.removeprefix("linux-headers-")
    _output("depmod", "-b", scratch, release)
    needed: dict[str, None] = {}
    for module in MODULES:
        shown = _output("modprobe", "-d", scratch, "-S", release, "--show-depends", module)
        needed |= dict.fromkeys(re.findall(r"^insmod (\S+)", shown, re.MULTILINE))
    for place, path in enumerate(needed):
        name = Path(path).name.removesuffix(".xz")
        (CACHE / f"{place:02}-{name}").write_bytes(lzma.decompress(Path(path).read_bytes()))
    shutil.copyfile(scratch / f"boot/vmlinuz-{release}", CACHE / "vmlinuz")
    shutil.copyfile(scratch / "module/gpio-sim.ko", CACHE / "gpio-sim.ko")


def _boot() -> str:
    """Run the tests in the machine; return what its console said."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        for folder in ("bin", "modules", "mnt", "proc", "sys", "dev"):
            (root / folder).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "busybox", root / "bin/busybox")
        for module in CACHE.glob("*.ko"):
            shutil.copy(module, root / "modules")
        (root / "init").write_text(INIT.format(repository=REPOSITORY, python=sys.executable))
        (root / "init").chmod(0o755)
        files = "\n".join(str(path.relative_to(root)) for path in root.rglob("*"))
        packed = subprocess.run(
            ["cpio", "-o", "-H", "newc"], cwd=root, input=files.encode(), check=True, capture_output=True
        )
        start = Path(scratch) / "start.gz"
        start.write_bytes(gzip.compress(packed.stdout, 1))
        machine = ["qemu-system-x86_64", "-cpu", "max", "-m", "1024", "-nographic", "-no-reboot"]
        machine += ["-kernel", str(CACHE / "vmlinuz"), "-initrd", str(start)]
        machine += ["-append", "console=ttyS0 quiet panic=-1", "-virtfs"]
        machine += ["local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]
        return _output(*machine, stdin=subprocess.DEVNULL, timeout=600)


if __name__ == "__main__":
    main()
