"""The table of docs/spaces/README.md and a drawing per space, made from the spaces themselves.

python scripts/make_space_docs.py            renew the table and docs/images/spaces/*.svg
python scripts/make_space_docs.py --check    exit code 1 when the table is out of date or a drawing is missing
"""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

from netwright.core.files import write_atomic
from netwright.core.plugins import build, name_of, names, summary
from netwright.core.shapes import Shapes
from netwright.search_spaces.drawing import draw_svg
from netwright.search_spaces.landmark import landmark_names, load_landmark
from netwright.search_spaces.size import PRECISION, size_of
from netwright.search_spaces.space import SearchSpace
from netwright.search_spaces.svg import on_paper

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "spaces" / "README.md"
PICTURES = DOCS / "images" / "spaces"
MARKED = re.compile(r"(<!-- (spaces|landmarks) -->\n).*?(<!-- end -->)", re.DOTALL)
SEEDS = range(30)
"""The sample that is drawn is the one of middling length among these seeds' samples."""


def space_of(name: str) -> SearchSpace:
    """A space with its default settings."""
    space = build("space", name)
    assert isinstance(space, SearchSpace)
    return space


def renewed(text: str) -> str:
    """The page with both tables made anew."""
    tables = {"spaces": _spaces, "landmarks": _landmarks}
    return MARKED.sub(lambda found: f"{found[1]}{tables[found[2]]()}{found[3]}", text)


def picture(name: str) -> str:
    """An architecture of a space at its first example input, neither its shortest nor its longest."""
    space = space_of(name)
    shapes = space.examples()[0]
    drawn = sorted((space.sample(random.Random(seed)) for seed in SEEDS), key=len)
    decisions = drawn[len(drawn) // 2]
    title = f"{name}: an architecture drawn at random, {_text(shapes)}"
    return on_paper(draw_svg(space.graph(decisions, shapes), title=title))


def _spaces() -> str:
    rows = ["| space | sets of decisions | decisions | what is searched |", "|---|---|---|---|"]
    for name in names("space"):
        space = space_of(name)
        counts = sorted({len(space.sample(random.Random(seed))) for seed in SEEDS})
        words = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        rows.append(f"| {_link(name)} | {size_of(space, precision=PRECISION)} | {words} | {summary('space', name)} |")
    return "\n".join(rows) + "\n"


def _landmarks() -> str:
    rows = ["| landmark | what | space | input | parameters | MACs |", "|---|---|---|---|---|---|"]
    for name in landmark_names():
        landmark = load_landmark(name)
        cost = landmark.search_space.cost(landmark.resolved(), landmark.shapes)
        kind, shapes = _link(name_of(landmark.search_space)), _text(landmark.shapes)
        rows.append(f"| `{name}` | {landmark.title} | {kind} | {shapes} | {cost.params:,} | {cost.macs:,} |")
    return "\n".join(rows) + "\n"


def _link(name: str) -> str:
    return f"[{name}]({name}.md)" if (DOCS / "spaces" / f"{name}.md").is_file() else f"`{name}`"


def _text(shapes: Shapes) -> str:
    return f"{'x'.join(map(str, shapes.input))} to {'x'.join(map(str, shapes.output_shape))}"


def main() -> None:
    """Renew the page and the drawings, or check them."""
    before = PAGE.read_text(encoding="utf-8")
    after = renewed(before)
    if "--check" in sys.argv[1:]:
        missing = [name for name in names("space") if not (PICTURES / f"{name}.svg").is_file()]
        sys.exit(int(before != after or bool(missing)))
    write_atomic(PAGE, after)
    for name in names("space"):
        write_atomic(PICTURES / f"{name}.svg", picture(name) + "\n")


if __name__ == "__main__":
    main()
