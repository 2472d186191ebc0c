"""The Ansible collection puts Voxline on controllers that run a real systemd, and they hear."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.audio.file import read_audio
from tests.integration.booth import GOLDEN, require_bundle
from tests.integration.brokers import HOST, Mosquitto, Scada, eventually, free_port, needs_mosquitto
from tests.integration.controllers import Controller, require_controllers
from tests.integration.pulse import MICROPHONE, Pulse, require_pulseaudio, running_pulse

if "VOXLINE_ROLLOUTS" not in os.environ:
    pytest.skip("takes ten minutes: set VOXLINE_ROLLOUTS=1", allow_module_level=True)
require_controllers()
require_pulseaudio()
require_bundle()
pytestmark = needs_mosquitto

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CELL = "acme/lyon/assembly/line-3/cell-7"
ROOM_S = 1800
"""Longer than all of this takes."""
PASSWORD = "s3cret"  # noqa: S105 -- of a broker that lives as long as the test


@dataclass
class Fleet:
    """Two controllers, what they need, and the machine that rolls out to them."""

    home: Path
    broker: Mosquitto
    pulse: Pulse
    stations: list[Controller]
    variables: dict[str, Any] = field(default_factory=dict)
    """Of the stations, in the inventory."""

    def play(
        self, playbook: str, *options: str, only: str = "all", **variables: object
    ) -> "subprocess.CompletedProcess[str]":
        """Run a playbook of the collection."""
        hosts = {
            station.name: {
                "ansible_host": HOST,
                "ansible_port": station.port,
                "ansible_user": "root",
                "ansible_ssh_private_key_file": str(station.key),
                "ansible_ssh_common_args": " ".join(station.options),
            }
            for station in self.stations
        }
        here = {"ansible_connection": "local", "voxline_packages": str(self.home / "packages")}
        inventory = {
            "voxline_stations": {"hosts": hosts, "vars": self.variables | variables},
            "voxline_builders": {"hosts": {"here": here}},
            "all": {"vars": {"ansible_python_interpreter": "/usr/bin/python3"}},
        }
        (self.home / "inventory.json").write_text(json.dumps(inventory))
        return subprocess.run(
            [
                BIN / "ansible-playbook",
                f"--inventory={self.home / 'inventory.json'}",
                f"--extra-vars=voxline_source={REPOSITORY}",
                f"--limit={only}",
                *options,
                f"voxline.fleet.{playbook}",
            ],
            cwd=self.home,
            env=environment(self.home),
            capture_output=True,
            text=True,
            timeout=600,
        )

    def releases(self) -> list[str]:
        """Say which release is at work at each station."""
        return [station.run("readlink /opt/voxline/current").stdout.strip() for station in self.stations]

    def processes(self) -> list[str]:
        """Say which process is at work at each station."""
        asked = "systemctl show voxline --value --property=MainPID"
        return [station.run(asked).stdout.strip() for station in self.stations]


def environment(home: Path) -> dict[str, str]:
    """Return what Ansible runs with: the collection installed from here, and nothing of its user's."""
    settings = {
        "COLLECTIONS_PATH": home / "collections",
        "HOME": home,
        "LOCALHOST_WARNING": False,
        "PIPELINING": True,
        "NOCOLOR": True,
    }
    path = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home)}
    return os.environ | path | {f"ANSIBLE_{name}": str(value) for name, value in settings.items()}


def changes(run: "subprocess.CompletedProcess[str]") -> dict[str, int]:
    """Return how much a run changed at each station."""
    return {
        name: int(count) for name, count in re.findall(r"^(\S+)\s+: ok=.*changed=(\d+)", run.stdout, re.M)
    }


def online(plant: Scada, station: str) -> bool:
    """Tell whether the last thing that a station said of itself is that it is online."""
    states = plant.on(f"{station}/state")
    return bool(states) and json.loads(states[-1].payload)["status"] == "online"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("fleet")
    for folder in ("pulse", "press-1", "press-2"):
        (home / folder).mkdir()
    users = home / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", users, "press", PASSWORD], check=True)
    users.chmod(0o644)
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "install", REPOSITORY / "ansible", "-p", home / "collections"],
        env=environment(home),
        check=True,
        capture_output=True,
    )
    access = f"allow_anonymous false\npassword_file {users}"
    with Mosquitto(home, access) as broker, running_pulse(home / "pulse") as pulse:
        port = free_port()
        tcp = ("module-native-protocol-tcp", f"listen={HOST}", f"port={port}", "auth-anonymous=1")
        pulse.pactl("load-module", *tcp)
        quiet = np.random.default_rng(0).normal(0, 30, ROOM_S * 16_000)
        pulse.play(quiet.astype(np.int16))  # a microphone that hears nothing at all is taken for broken
        sound = f'pcm.{MICROPHONE} {{ type pulse server "tcp:{HOST}:{port}" device "cable.monitor" }}\n'
        with (
            Controller(home / "press-1", "press-1", {"etc/asound.conf": sound}) as one,
            Controller(home / "press-2", "press-2", {"etc/asound.conf": sound}) as two,
        ):
            fleet = Fleet(home, broker, pulse, [one, two])
            built = fleet.play("build")
            assert built.returncode == 0, built.stdout + built.stderr
            [package] = home.glob("packages/voxline-*.tar")
            fleet.variables = {
                "voxline_package": str(package),
                "voxline_grammar": str(REPOSITORY / "grammars/demo.yaml"),
                "voxline_settings": {
                    "station": dict(
                        zip(("enterprise", "site", "area", "line", "cell"), CELL.split("/"), strict=True)
                    ),
                    "audio": {"type": "microphone", "device": f"*{MICROPHONE}*"},
                    "commands": {"inhibit_required": False},
                    "mqtt": {
                        "host": HOST,
                        "port": broker.port,
                        "username": "press",
                        "reconnect_spread_s": 2.0,
                    },
                },
                "voxline_secrets": {"mqtt__password": PASSWORD},
                "voxline_watch_s": 2,
            }
            yield fleet


@pytest.fixture(scope="module")
def stations(fleet: Fleet) -> Fleet:
    """The fleet, the first of it rolled out to; its programs lie elsewhere, as on another disk."""
    fleet.stations[0].run("mkdir /data && ln -s /data /opt/voxline")
    run = fleet.play("rollout", only="press-1")
    assert run.returncode == 0, run.stdout + run.stderr
    return fleet


@pytest.fixture
def plant(fleet: Fleet) -> Iterator[Scada]:
    with Scada(fleet.broker.port, f"{CELL}/#", username="press", password=PASSWORD) as plant:
        yield plant


def test_an_operator_is_heard(stations: Fleet, plant: Scada) -> None:
    assert eventually(lambda: online(plant, "press-1"))
    stations.pulse.play(read_audio(GOLDEN / "07-halt-belt-three.opus"))
    (command,) = plant.wait_for("/command/conveyor/stop")
    assert json.loads(command.payload)["value"] == {"conveyor": 3}


def test_a_second_rollout_changes_nothing(stations: Fleet) -> None:
    before = stations.processes()
    run = stations.play("rollout", only="press-1")
    assert (run.returncode, changes(run)) == (0, {"press-1": 0}), run.stdout
    assert stations.processes() == before


def test_a_check_shows_what_a_rollout_would_change_and_changes_nothing(
    stations: Fleet, tmp_path: Path
) -> None:
    def standing() -> tuple[list[str], list[str], str]:
        found = "find /data /etc/voxline -not -path '/data/programs/*/*' -printf '%p %T@ %i\\n'"
        return stations.releases(), stations.processes(), stations.stations[0].run(found).stdout

    before = standing()
    assert before[2]
    run = stations.play("rollout", "--check", only="press-1")
    assert (run.returncode, changes(run)) == (0, {"press-1": 0}), run.stdout
    package = Path(str(stations.variables["voxline_package"]))
    other = tmp_path / package.name
    other.write_bytes(package.read_bytes() + b"another one")
    for variables in (
        {"voxline_grammar": str(REPOSITORY / "grammars/conveyor.yaml")},
        {"voxline_package": str(other)},
        {"voxline_secrets": {"mqtt__password": "zebra"}},
    ):
        run = stations.play("rollout", "--check", "--diff", only="press-1", **variables)
        assert run.returncode == 0, run.stdout + run.stderr
        assert changes(run)["press-1"] > 0, variables
        assert "zebra" not in run.stdout
    run = stations.play("rollback", "--check", only="press-1")
    assert "There is no release before" in run.stdout, run.stdout
    assert standing() == before


def test_no_package_source_is_asked_for_what_is_there(stations: Fleet) -> None:
    gone = "rm -r /etc/apt/sources.list*; echo 'deb http://127.0.0.1:9/ gone main' > /etc/apt/sources.list"
    long_ago = "rm -f /var/lib/apt/periodic/update-success-stamp; touch -d '2 days ago' /var/lib/apt/lists"
    stations.stations[0].run(f"{gone}; {long_ago}")
    run = stations.play("rollout", only="press-1")
    assert (run.returncode, changes(run)) == (0, {"press-1": 0}), run.stdout


def test_what_a_refused_rollout_has_changed_is_taken_up_by_the_next(stations: Fleet, tmp_path: Path) -> None:
    before = stations.processes()
    (tmp_path / "root.json").write_text("{}")
    anchor = {"voxline_update_root": str(tmp_path / "root.json")}
    refused = {"recognition": {"operating_point": "loud"}}
    run = stations.play("rollout", only="press-1", voxline_station_settings=refused, **anchor)
    assert run.returncode != 0
    assert stations.processes() == before
    run = stations.play("rollout", only="press-1", **anchor)
    assert run.returncode == 0, run.stdout
    assert stations.processes() != before


def test_settings_that_would_not_run_change_nothing(stations: Fleet) -> None:
    before = stations.releases(), stations.processes()
    run = stations.play("rollout", voxline_station_settings={"recognition": {"operating_point": "loud"}})
    assert run.returncode != 0
    assert "[recognition] operating_point must be" in run.stdout, run.stdout
    assert (stations.releases(), stations.processes()) == before


def test_a_package_for_other_machines_is_refused(stations: Fleet, tmp_path: Path) -> None:
    (tmp_path / "voxline-0.1.0-riscv64-py311.tar").touch()
    run = stations.play("rollout", voxline_package=str(tmp_path / "voxline-0.1.0-riscv64-py311.tar"))
    assert run.returncode != 0
    assert "is not for this station" in run.stdout


def test_a_release_that_is_not_well_is_taken_back_and_goes_no_further(stations: Fleet, plant: Scada) -> None:
    before = stations.releases()
    nobody_listens = {"mqtt": {"port": free_port()}}
    run = stations.play("rollout", voxline_station_settings=nobody_listens, voxline_well_within_s=10)
    assert run.returncode != 0
    assert re.search(r"is not well: .*no_link.*Back at ", run.stdout), run.stdout
    assert stations.releases() == before
    assert before[1] == ""
    assert eventually(lambda: online(plant, "press-1"))
    run = stations.play("rollback", only="press-1")
    assert "There is no release before" in run.stdout, run.stdout


def test_a_wrong_password_is_taken_back(stations: Fleet, plant: Scada) -> None:
    before = stations.releases()
    wrong = {"voxline_secrets": {"mqtt__password": "wrong"}, "voxline_well_within_s": 20}
    for grammar in ("demo", "conveyor"):  # alone, and with another release
        chosen = str(REPOSITORY / f"grammars/{grammar}.yaml")
        run = stations.play("rollout", only="press-1", voxline_grammar=chosen, **wrong)
        assert run.returncode != 0
        assert re.search(r"is not well: .*no_link.*Back at .*StatusText=well", run.stdout), run.stdout
        assert stations.releases() == before
        assert eventually(lambda: online(plant, "press-1"))
    assert stations.stations[0].run("ls /data").stdout.split() == ["current", "programs", "releases"]


def test_the_way_back(stations: Fleet) -> None:
    before = stations.releases()
    run = stations.play("rollout", only="press-1", voxline_grammar=str(REPOSITORY / "grammars/conveyor.yaml"))
    assert run.returncode == 0, run.stdout
    assert stations.releases() != before
    run = stations.play("rollback", only="press-1")
    assert run.returncode == 0, run.stdout
    assert stations.releases() == before


def test_a_controller_whose_power_fails_listens_again_by_itself(stations: Fleet, plant: Scada) -> None:
    station = stations.stations[0]
    assert eventually(lambda: online(plant, station.name))
    station.power_off()
    assert eventually(lambda: not online(plant, station.name))
    station.boot()
    assert eventually(lambda: online(plant, station.name))


def test_the_fleet_says_how_it_is(stations: Fleet) -> None:
    run = stations.play("status", only="press-1")
    assert run.returncode == 0, run.stdout
    assert "StatusText=well" in run.stdout
    assert f"Release={Path(stations.releases()[0]).name}" in run.stdout


def test_nothing_is_left_of_what_is_removed(stations: Fleet) -> None:
    run = stations.play("remove", only="press-1", voxline_forget=True)
    assert run.returncode == 0, run.stdout
    left = (
        "ls /data; ls -d /opt/voxline /etc/voxline /var/lib/voxline /usr/local/bin/voxline; pgrep -u voxline"
    )
    assert stations.stations[0].run(left).stdout == ""
