"""Twenty stations of one plant, a canary release that is bad, and what each of them does about it.

Real updaters, store, signatures and files; each station's recognizer is played: the bad bundle passes its
trial and then rejects half of what it hears.
"""

from dataclasses import dataclass, field
from pathlib import Path

from agent.updates import updater as updater_module
from agent.updates.probation import Record, Terms
from agent.updates.release import Reference
from agent.updates.repository import ReleaseRepository
from agent.updates.rollout import Rollout
from agent.updates.state import Phase, State, Wanted, Wish
from agent.updates.updater import Updater
from tests.integration.brokers import eventually
from tests.updates.house import Obedient, make_repository, make_updater, release

STATIONS, PERCENT = 20, 20.0
GOOD, BAD = "model/press/1.0.0", "model/press/1.1.0"


@dataclass(eq=False)
class Member(Obedient):
    """A station of the fleet; writes down what it goes through."""

    name: str = ""
    diary: list[str] = field(default_factory=list)

    def report(self, state: State, bytes_done: int) -> None:
        super().report(state, bytes_done)
        line = f"{state.phase}: {state.reason}" if state.phase is Phase.ROLLED_BACK else str(state.phase)
        if not self.diary or self.diary[-1] != line:
            self.diary.append(line)


def make_fleet(folder: Path, repository: ReleaseRepository) -> dict[Member, Updater]:
    updater_module.TICK_S = 0.01
    members = [Member(name=f"press-{number}") for number in range(1, STATIONS + 1)]
    return {
        member: make_updater(folder / member.name, repository, member, name=member.name, terms=Terms(60, 20))
        for member in members
    }


def hear(fleet: dict[Member, Updater], seconds: float) -> None:
    """Let every station work for some time: 40 utterances a minute, of which a good bundle rejects few."""
    for updater in fleet.values():
        bad = BAD in map(str, updater.state.running)
        totals = updater._totals
        utterances = round(seconds * 40 / 60)
        updater.observe(
            Record(
                seconds=totals.seconds + seconds,
                utterances=totals.utterances + utterances,
                rejects=totals.rejects + round(utterances * (0.5 if bad else 0.05)),
                latency_s=0.05,
            )
        )


def settle(fleet: dict[Member, Updater], *phases: Phase) -> None:
    assert eventually(lambda: all(updater.state.phase in phases for updater in fleet.values()))


def bad_canary(folder: Path) -> list[str]:
    """Play it; return the log, a line per station."""
    repository = make_repository(folder / "repository")
    release(repository, GOOD, {"model.onnx": b"good" * 20_000})
    release(repository, BAD, {"model.onnx": b"bad!" * 20_000})
    repository.publish()
    fleet = make_fleet(folder, repository)
    for updater in fleet.values():
        updater.start()
        updater.wish(Wish(Wanted((Reference.parse(GOOD),))))
    settle(fleet, Phase.PROBATION)
    hear(fleet, 90)
    settle(fleet, Phase.COMMITTED)
    assert eventually(lambda: all(member.diary[-1] == "committed" for member in fleet))
    hear(fleet, 3600)
    canary = Wanted((Reference.parse(BAD),), rollout=Rollout(percent=PERCENT))
    for updater in fleet.values():
        updater.wish(Wish(canary))
    chosen = {member: updater for member, updater in fleet.items() if canary.rollout.includes(member.name)}
    settle(chosen, Phase.PROBATION)
    hear(fleet, 90)
    settle(chosen, Phase.ROLLED_BACK)
    log = []
    for member, updater in fleet.items():
        updater.stop()
        runs = ", ".join(map(str, updater.state.running))
        part = "canary" if member in chosen else "rest  "
        seen = " > ".join(member.diary[member.diary.index("committed") + 1 :]) or "nothing"
        log.append(f"{member.name:9} {part} {seen}; runs {runs}")
    return log
