"""`./dev bench [NAME...]`: run benchmarks and print one JSON object."""

import json
import os
import platform
import sys
from importlib import import_module
from pathlib import Path

from agent.logs import configure_logging

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))


def main() -> None:
    """Run the named benchmarks, or all."""
    chosen = [f"bench_{name}" for name in sys.argv[1:]] or NAMES
    if unknown := set(chosen) - set(NAMES):
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(n[6:] for n in NAMES)}")
    configure_logging("error")
    results: dict[str, object] = {
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "python": platform.python_version()}
    }
    for name in chosen:
        print(f"running {name} ...", file=sys.stderr, flush=True)  # noqa: T201
        results[name.removeprefix("bench_")] = import_module(f"tests.bench.{name}").run()
    print(json.dumps(results, indent=1))  # noqa: T201


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


if __name__ == "__main__":
    main()
