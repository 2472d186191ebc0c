"""Time and bytes of a full, a grammar-only and a resumed update; repository growth; exchange under load."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from agent.updates import updater as updater_module
from agent.updates.pack import pack_grammar, pack_model
from agent.updates.probation import Terms
from agent.updates.release import Channel, Reference
from agent.updates.repository import ReleaseRepository
from agent.updates.state import Phase
from agent.updates.transports.folder import Folder
from agent.updates.trust import Trust
from agent.updates.updater import Updater
from tests.integration.booth import BUNDLE, GRAMMAR
from tests.integration.brokers import eventually
from tests.updates.house import Obedient, make_repository, make_updater, release, wanted, wish
from tests.updates.load import folder_settings, speak_and_exchange

RELEASES = (1, 10, 100, 300)


class Counting(Folder):
    """Counts what a station fetches."""

    fetched_bytes = 0

    def read(self, path: str, offset: int = 0) -> Iterator[bytes]:
        for chunk in super().read(path, offset):
            self.fetched_bytes += len(chunk)
            yield chunk


def run() -> dict[str, object]:
    """Measure in a temporary folder, without trial and probation: they last as long as they are told to."""
    updater_module.TICK_S = 0.005
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        repository = make_repository(folder / "repository")
        model, files = pack_model(BUNDLE)
        repository.add(model, files)
        grammar = [repository_grammar(repository, folder, version) for version in ("1.0.0", "1.1.0")]
        repository.publish()
        first = (str(model.reference), str(grammar[0]))
        results["full_update"] = _update(folder / "full", repository, *first)
        shutil.copytree(folder / "full", folder / "grammar", symlinks=True)
        results["grammar_only_update"] = _update(folder / "grammar", repository, str(grammar[1]))
        half = folder / "half" / "store" / "partial"
        half.mkdir(parents=True)
        biggest = max(model.files.values(), key=lambda entry: entry.size_bytes)
        raw = (repository.public / "objects" / biggest.sha256).read_bytes()
        (half / biggest.sha256).write_bytes(raw[: len(raw) // 2])
        results["resumed_update"] = _update(folder / "half", repository, *first)
        results["repository_growth"] = _growth(folder)
        results["exchange_under_load"] = _under_load(folder)
    return results


def repository_grammar(repository: ReleaseRepository, folder: Path, version: str) -> Reference:
    """Release the demo grammar under a version."""
    file = folder / version / "grammar.yaml"
    file.parent.mkdir()
    file.write_text(GRAMMAR.read_text() + f"# {version}\n")
    packed = pack_grammar(file, version)
    repository.add(*packed)
    return packed[0].reference


def _update(folder: Path, repository: ReleaseRepository, *references: str) -> dict[str, float]:
    way = Counting(repository.public)
    updater: Updater = make_updater(folder, repository, Obedient(), way, terms=Terms(0, 0))
    start_s = time.perf_counter()
    updater.start()
    updater.wish(wish(*references))
    asked = set(wanted(*references).releases)
    assert eventually(
        lambda: updater.state.phase is Phase.COMMITTED and asked <= set(updater.state.running), 60
    )
    seconds = time.perf_counter() - start_s
    updater.stop()
    return {"seconds": round(seconds, 3), "fetched_bytes": way.fetched_bytes}


def _growth(folder: Path) -> list[dict[str, int]]:
    """What a station reads and what lies on the server, by number of releases; stations add nothing."""
    repository = make_repository(folder / "growing")
    table, made = [], 0
    for count in RELEASES:
        while made < count:
            made += 1
            named = release(repository, f"grammar/press/{made}.0.0", {"same.yaml": b"shared" * 1000})
            repository.set_channel("stable", Channel(releases=(str(named),)))
            if made % 10 == 1 or made == count:
                repository.publish()
        way = Counting(repository.public)
        updater = make_updater(folder / f"reader-{count}", repository, Obedient(), way)
        trust = updater._actions._repository
        assert isinstance(trust, Trust)
        trust.refresh()
        updater.stop()
        server = [path.stat().st_size for path in repository.public.rglob("*") if path.is_file()]
        table.append(
            {
                "releases": count,
                "first_check_bytes": way.fetched_bytes,
                "server_bytes": sum(server),
                "server_files": len(server),
            }
        )
    return table


def _under_load(folder: Path) -> dict[str, object]:
    still = speak_and_exchange(folder_settings(folder), clips=6, every_s=None)
    report = speak_and_exchange(folder_settings(folder), clips=6, every_s=1.5)
    figures = {k: v for k, v in asdict(report).items() if k not in ("said", "understood")}
    return {
        **figures,
        "frames_lost": report.frames_given - report.frames_heard,
        "commands_right": report.said == report.understood,
        "late_max_s_without_exchanges": still.late_max_s,
    }
