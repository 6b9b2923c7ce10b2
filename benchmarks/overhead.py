"""What an executor costs per trial: a search whose trials train one tiny network for one epoch on 64 digits.

    python benchmarks/overhead.py [--trials 20] [--executors inline processes ray_tune] [--json]

Prints, for each executor: seconds from start to the first result, seconds per further trial, and the part of
it that the trial itself took, so that the rest is overhead (proposal, record, hand-over).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from netwright.core.progress import Event
from netwright.runs.search import create_run, search
from netwright.runs.specification import load_specification
from netwright.runs.view import open_run

RECIPE = Path(__file__).parents[1] / "recipes" / "digits-tiny.yaml"


def measure(executor: str, trials: int, folder: Path) -> dict[str, float | str]:
    """One search with one executor."""
    specification = load_specification(
        RECIPE,
        overrides=[
            f"search.executor={{kind: {executor}, workers: 1}}",
            f"search.trials={trials}",
            "search.strategy=random_search",
            "search.stopper=never",
            "search.training.epochs=1",
            "search.training.samples=64",
        ],
    )
    path = folder / executor
    create_run(specification, path)
    ends: list[float] = []
    start = time.perf_counter()

    def note(event: Event) -> None:
        if event.name == "search.trial":
            ends.append(time.perf_counter() - start)

    search(path, listener=note)
    total = time.perf_counter() - start
    seconds = sorted(trial.seconds for trial in open_run(path).trials[1:])
    per_trial = (ends[-1] - ends[0]) / (len(ends) - 1)
    own = sum(seconds) / len(seconds)
    return {
        "executor": executor,
        "first_result_s": ends[0],
        "per_trial_s": per_trial,
        "trial_itself_s": own,
        "overhead_s": per_trial - own,
        "shutdown_s": total - ends[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--executors", nargs="+", default=["inline", "processes", "ray_tune"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, options.trials, Path(folder)) for name in options.executors]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            f"{row['executor']:10s} first result {row['first_result_s']:6.2f} s, then "
            f"{row['per_trial_s'] * 1e3:7.1f} ms per trial, "
            f"of which overhead {row['overhead_s'] * 1e3:7.1f} ms; shutdown {row['shutdown_s']:.2f} s"
        )


if __name__ == "__main__":
    main()
