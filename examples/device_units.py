"""What to time on a device that netwright cannot run on: an ONNX file for every unit of a space, and a csv to fill in.

python examples/device_units.py [--out FOLDER] [--recipe FILE] [--samples N] [--units N]

Time every file on the device, write the results into the column latency_ms of units.csv, take out the rows that could
not be timed, and read it in:

netwright latency build --from-csv FOLDER/units.csv --device "a board" --out board.json
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections import Counter
from pathlib import Path

import netwright as nw
from netwright.evaluation.latency_units import Unit, shapes_text, units_of
from netwright.export.unit_files import export_units
from netwright.runs.specification import load_specification

RECIPE = Path(__file__).parents[1] / "recipes" / "digits-tiny.yaml"


def units_in(recipe: nw.RunSpecification, *, samples: int, most: int) -> dict[str, Unit]:
    """The units that occur most in networks drawn from a recipe's space, for the shapes of its task."""
    if recipe.space is None:
        raise SystemExit("the recipe has no space")
    rng, shapes = random.Random(0), recipe.task.shapes()
    counts: Counter[Unit] = Counter()
    for _ in range(samples):
        counts.update(units_of(recipe.space.graph(recipe.space.sample(rng), shapes)))
    return {f"unit{number}": unit for number, (unit, _) in enumerate(counts.most_common(most))}


def main() -> None:
    """Write the files and the csv, a row for every file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("units"))
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--samples", type=int, default=200, help="networks to draw")
    parser.add_argument("--units", type=int, default=300, help="units at most")
    chosen = parser.parse_args()
    units = units_in(load_specification(chosen.recipe), samples=chosen.samples, most=chosen.units)
    chosen.out.mkdir(parents=True, exist_ok=True)
    files = export_units(units, chosen.out)
    with (chosen.out / "units.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "operation", "input_shape", "latency_ms", "unit"])
        for name, unit in units.items():
            if isinstance(made := files[name], Path):
                operation = json.dumps(unit.to_json()["operations"])
                table.writerow([made.name, operation, shapes_text(unit.input_shapes), "", "ms"])
    count = sum(isinstance(path, Path) for path in files.values())
    print(f"{count} of {len(units)} units are files in {chosen.out}; write their times into {chosen.out / 'units.csv'}")


if __name__ == "__main__":
    main()
