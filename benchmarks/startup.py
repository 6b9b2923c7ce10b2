"""How long commands take to start: CPU and wall seconds of fresh processes, best of several, interleaved.

python benchmarks/startup.py [--repeats 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import click": ["-c", "import click"],
    "import netwright": ["-c", "import netwright"],
    "netwright --help": ["-m", "netwright", "--help"],
    "netwright search --help": ["-m", "netwright", "search", "--help"],
    "netwright list spaces": ["-m", "netwright", "list", "spaces"],
    "import optuna": ["-c", "import optuna"],
    "import torch": ["-c", "import torch"],
}


def spent(arguments: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of one fresh interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(options.repeats):
        for name, arguments in COMMANDS.items():
            samples[name].append(spent(arguments))
    base = min(cpu for cpu, _ in samples["python -c pass"])
    rows = [
        {
            "command": name,
            "cpu_s": min(c for c, _ in s),
            "wall_s": min(w for _, w in s),
            "of_python": min(c for c, _ in s) / base,
        }
        for name, s in samples.items()
    ]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            f"{row['command']:28s} {row['cpu_s']:6.2f} CPU s {row['wall_s']:6.2f} s wall "
            f"{row['of_python']:6.1f}x a bare python"
        )


if __name__ == "__main__":
    main()
