from pathlib import Path

from agent.updates.rollout import Rollout
from tests.updates.fleet import GOOD, PERCENT, STATIONS, bad_canary


def test_a_bad_canary_release_reaches_only_canaries_and_all_go_back(tmp_path: Path) -> None:
    log = bad_canary(tmp_path)
    canaries = [line for line in log if " canary " in line]
    assert len(log) == STATIONS
    assert 0 < len(canaries) < STATIONS / 2
    assert all("probation > rolling_back" in line and "rejected" in line for line in canaries)
    assert all(line.endswith(f"runs {GOOD}") for line in log)
    assert all(" nothing; " in line for line in log if line not in canaries)
    chosen = [n for n in range(1, STATIONS + 1) if Rollout(PERCENT).includes(f"press-{n}")]
    assert [line.split()[0] for line in canaries] == [f"press-{n}" for n in chosen]
