"""Where the quickstart's time goes: seconds of every step, from one real run.

python benchmarks/quickstart.py [--json] [--set NAME.NAME=VALUE ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import netwright
from netwright.core.progress import Event


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args()
    start = time.perf_counter()
    marks: list[tuple[str, float]] = []

    def note(event: Event) -> None:
        if event.name in {"search.begin", "search.end", "compress.stage", "step"}:
            what = event.facts.get("stage") or event.facts.get("text") or event.name
            marks.append((str(what), time.perf_counter() - start))

    with tempfile.TemporaryDirectory() as folder:
        netwright.quickstart(out=Path(folder) / "run", overrides=options.overrides, listener=note)
    marks.append(("end", time.perf_counter() - start))
    rows = [
        {"step": name, "at_s": at, "took_s": at - before}
        for (name, at), (_, before) in zip(marks, [("", 0.0), *marks], strict=False)
    ]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['at_s']:7.1f} s  (+{row['took_s']:6.1f} s)  {row['step']}")


if __name__ == "__main__":
    main()
