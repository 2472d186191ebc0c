"""What the outbox keeps, what it lets go, and that a kill at any point loses nothing."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.messaging.channel import Keep
from agent.messaging.contract import Claim, Reject
from agent.messaging.namespace import Message
from agent.messaging.outbox import Outbox, open_outbox
from tests.messaging.examples import NAMESPACE, command

KILLS = int(os.environ.get("VOXLINE_KILLS", "60"))


def message(number: int, keep: Keep = Keep.DURABLE) -> Message:
    return Message(
        topic="acme/event",
        payload=str(number).encode(),
        qos=1,
        retain=False,
        keep=keep,
        expiry_s=None,
        user_properties=(("id", str(number)),),
    )


def numbers(outbox: Outbox, limit: int = 10_000) -> list[int]:
    return [int(entry.message.payload) for entry in outbox.waiting(0, limit)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


def test_messages_come_back_whole_and_in_order_after_a_restart(path: Path) -> None:
    outbox = Outbox(path)
    event = NAMESPACE.message(Reject(time=datetime.now(UTC), reason="background", heard=command().heard))
    outbox.add(event)
    for number in range(5):
        outbox.add(message(number))
    outbox.close()
    again = Outbox(path)
    entries = again.waiting(0, 100)
    assert entries[0].message == event
    assert [entry.message for entry in entries[1:]] == [message(number) for number in range(5)]
    assert [entry.id for entry in again.waiting(entries[2].id, 2)] == [entries[3].id, entries[4].id]
    again.remove([entry.id for entry in entries[:4]])
    assert numbers(again) == [3, 4]
    assert again.depth == 2


def test_ring_keeps_the_latest_and_says_what_it_dropped(path: Path) -> None:
    outbox = Outbox(path, ring_length=10)
    for number in range(25):
        outbox.add(message(number, Keep.RING))
        outbox.add(message(100 + number, Keep.DURABLE))
    kept = numbers(outbox)
    assert [number for number in kept if number < 100] == list(range(15, 25))
    assert [number for number in kept if number >= 100] == list(range(100, 125))
    outbox.close()
    assert Outbox(path).dropped == 15


@pytest.mark.parametrize(
    "payload", [command(), Claim(time=datetime.now(UTC), command_id=command().id, command="stop")]
)
def test_commands_and_claims_never_wait(path: Path, payload: Claim) -> None:
    with pytest.raises(ValueError, match="must not wait"):
        Outbox(path).add(NAMESPACE.message(payload))


def beside_a_writer(path: Path, count: int) -> tuple[Outbox, sqlite3.Connection]:
    """Give an outbox that holds messages, and who keeps everybody from writing to its file."""
    outbox = Outbox(path)
    for number in range(count):
        outbox.add(message(number))
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    return outbox, blocker


def test_removing_does_not_wait_for_a_busy_disk(path: Path) -> None:
    outbox, blocker = beside_a_writer(path, 3)
    began_s = time.monotonic()
    outbox.remove([1, 2])
    assert time.monotonic() - began_s < 2, "SQLite would wait 5 s"
    assert numbers(outbox) == [2]  # remembered, so that nothing is sent twice
    blocker.execute("ROLLBACK")
    outbox.remove([])
    assert outbox.depth == 1


def test_what_a_full_disk_keeps_from_being_removed_stands_before_nothing(path: Path) -> None:
    outbox, blocker = beside_a_writer(path, 5)
    outbox.remove([1, 2, 3])
    assert numbers(outbox, 1) == [3]
    assert numbers(outbox, 2) == [3, 4]
    blocker.close()


def test_a_damaged_file_is_set_aside(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"SQLite format 3\0" + random.Random(1).randbytes(5000))
    outbox = Outbox(path)
    outbox.add(message(1))
    assert numbers(outbox) == [1]
    assert path.with_suffix(".damaged").exists()


@pytest.mark.parametrize("page", [1, 2, 3, 4, 5])
def test_a_file_with_a_damaged_page_is_set_aside(path: Path, page: int) -> None:
    """As a worn disk leaves it: else nothing would be kept any more, or nothing that is kept sent."""
    fill(path)
    damage(path, page)
    again = Outbox(path)
    again.add(message(1))
    assert numbers(again) == [1]
    assert path.with_suffix(".damaged").exists()


def fill(path: Path) -> None:
    """Make an outbox of several pages."""
    outbox = Outbox(path)
    for _ in range(60):
        outbox.add(NAMESPACE.message(Reject(time=datetime.now(UTC), reason="x", heard=command().heard)))
    outbox.close()


def damage(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * page)
        file.write(random.Random(page).randbytes(4096))


def test_what_could_not_be_read_again_is_not_taken(path: Path) -> None:
    """Nothing would be sent before a restart, which sets the file aside: so it is not kept, and said so."""
    fill(path)
    outbox = Outbox(path)
    for page in range(1, 6):
        damage(path, page)
    with pytest.raises(sqlite3.DatabaseError):
        outbox.waiting(0, 100)
    with pytest.raises(sqlite3.DatabaseError, match="restart the agent"):
        outbox.add(message(1))
    outbox.close()
    again = Outbox(path)
    again.add(message(1))
    assert numbers(again) == [1]


@pytest.mark.parametrize(
    "damage",
    [
        "properties = '[['",
        "properties = '[[\"id\", 1]]'",
        "properties = '[[\"id\"]]'",
        "keep = 'durablf'",
        "topic = CAST(x'ff41' AS TEXT)",
        "topic = ''",
        "topic = 'acme' || char(15) || 'event'",  # a broker ends the connection at it
    ],
)
def test_a_damaged_entry_does_not_stand_before_the_others(path: Path, damage: str) -> None:
    outbox = Outbox(path)
    for number in range(3):
        outbox.add(message(number))
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE outbox SET {damage} WHERE id = 1")  # noqa: S608 - our own words
    assert numbers(outbox) == [1, 2]
    outbox.remove([])
    assert outbox.depth == 2


def add_all(outbox: Outbox, first: int, end: int) -> None:
    for number in range(first, end):
        outbox.add(message(number))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], capture_output=True
    ).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", mount], check=True)


def test_a_full_disk_is_an_error_and_later_none(small_disk: Path) -> None:
    outbox = Outbox(small_disk / "outbox.sqlite")
    outbox.add(message(0))
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(b"\0" * 2**20)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        add_all(outbox, 1, 1000)
    before = numbers(outbox)
    assert before == list(range(len(before)))
    ballast.unlink()
    outbox.add(message(9999))
    assert numbers(outbox) == [*before, 9999]


def test_a_disk_that_is_full_at_the_start_damages_nothing(small_disk: Path) -> None:
    path = small_disk / "outbox.sqlite"
    outbox = Outbox(path)
    outbox.add(message(1))
    outbox.close()
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(b"\0" * 2**20)
    assert open_outbox(path) is None
    ballast.unlink()
    again = open_outbox(path)
    assert again
    assert numbers(again) == [1]


def test_a_folder_that_cannot_be_made_leaves_us_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert open_outbox(tmp_path / "file" / "outbox.sqlite") is None


WRITER = """
import sys
from pathlib import Path
from agent.messaging.outbox import Outbox, open_outbox
from tests.messaging.test_outbox import message
import os
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        outbox = Outbox(Path(sys.argv[1]))
        number = int(line)
        while True:
            outbox.add(message(number))
            os.write(1, b"%d added\\n" % number)
            if number % 3 == 0:
                for entry in outbox.waiting(0, 2):
                    os.write(1, b"%s sent\\n" % entry.message.payload)
                    outbox.remove([entry.id])
            number += 1
    os.write(1, b"%d started\\n" % child)
    os.wait()
"""


def test_no_message_is_lost_over_kills_at_random_points(path: Path) -> None:
    """A child adds, sends and removes; it is killed; whatever it added is sent or still there, in order."""
    draw = random.Random(7)
    parent = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin
    assert parent.stdout
    added: set[int] = set()
    sent: set[int] = set()

    def take(line: str) -> int | None:
        number, what = line.split()
        if what == "started":
            return int(number)
        (added if what == "added" else sent).add(int(number))
        return None

    try:
        for kill in range(KILLS):
            parent.stdin.write(f"{kill * 100_000}\n")
            parent.stdin.flush()
            while (child := take(parent.stdout.readline())) is None:
                pass
            for _ in range(draw.randrange(5)):
                take(parent.stdout.readline())
            time.sleep(draw.uniform(0, 0.005))
            os.kill(child, signal.SIGKILL)
        parent.stdin.close()
        for line in parent.stdout:
            take(line)
    finally:
        parent.kill()
        parent.wait()
    assert len(added) > KILLS
    left = numbers(Outbox(path), limit=10**7)
    assert left == sorted(left)
    assert added <= sent | set(left)
