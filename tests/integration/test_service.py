"""What the unit lets the agent do, under a real systemd."""

from pathlib import Path

from tests.integration.controllers import Controller, require_controllers

require_controllers()
UNIT = Path(__file__).parents[2] / "ansible/roles/voxline/files/voxline.service"
LAMP = "/sys/devices/virtual/misc"
"""Where the kernel has no lamp, but a folder that one can be put into."""
SWITCH = f"""[Service]
Type=oneshot
User=root
Group=root
Restart=no
ExecStart=
ExecStart=/bin/sh -c "echo 1 > {LAMP}/brightness"
"""


def test_a_lamp_of_the_kernel_can_be_lit(tmp_path: Path) -> None:
    lamp = tmp_path / "lamp"
    lamp.mkdir()
    files = {
        "etc/systemd/system/voxline.service": UNIT.read_text(),
        "etc/systemd/system/voxline.service.d/test.conf": SWITCH,
    }
    home = tmp_path / "press-1"
    home.mkdir()
    with Controller(home, "press-1", files, [f"{lamp}:{LAMP}"]) as station:
        started = station.run("systemctl start voxline || journalctl --unit voxline --no-pager")
    assert (lamp / "brightness").exists(), started.stdout
    assert (lamp / "brightness").read_text() == "1\n"
