"""`netwright space draw`: one architecture as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netwright.cli.space_arguments import (
    chosen_decisions,
    chosen_shapes,
    chosen_space,
    decisions_option,
    seed_option,
    settings_option,
    shape_options,
    shape_text,
)

if TYPE_CHECKING:
    from netwright.core.cost import Cost

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; }}
body {{ margin: 24px auto; max-width: 1400px; padding: 0 16px; }}
figure {{ margin: 24px 0; overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 13px; }}
td {{ padding: 2px 14px 2px 0; text-align: left; border-bottom: 1px solid #8884; }}
</style></head>
<body>
<h1>{title}</h1>
<p>{costs}</p>
<figure>{picture}</figure>
<details><summary>{count} decisions</summary><table>{rows}</table></details>
</body></html>
"""


@click.command(
    name="draw",
    epilog="""\b
Examples:
  netwright space draw landmark:resnet-50 --out resnet-50.svg
  netwright space draw convnet --seed 3 --out network.html
  netwright space draw nasbench201 --decisions best.json --level cell --out cell.svg""",
)
@click.argument("space")
@decisions_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A .svg or .html file.")
@click.option(
    "--level",
    type=click.Choice(["both", "macro", "cell"]),
    default="both",
    show_default=True,
    help="The column of blocks, the branching blocks in detail, or both side by side.",
)
@seed_option
@settings_option
@shape_options
def command(
    space: str, decisions: str | None, out: Path, level: str, seed: int, overrides: tuple[str, ...], **given: Any
) -> None:
    """Draw an architecture of SPACE: --decisions, the landmark, or one drawn at random with --seed.

    Equal blocks in a row are drawn once with their number; a block that branches is drawn once in detail.
    """
    import random

    from netwright.core.files import write_atomic
    from netwright.search_spaces.drawing import draw_svg
    from netwright.search_spaces.svg import on_paper

    if out.suffix not in (".svg", ".html"):
        raise click.UsageError(f"--out expects a file that ends in .svg or .html, came {out}")
    chosen = chosen_space(space, overrides)
    shapes, where = chosen_shapes(chosen, **given)
    if decisions is not None:
        picked, what = chosen_decisions(chosen, decisions), f"{space}"
    elif chosen.landmark is not None:
        picked, what = chosen_decisions(chosen, space), chosen.landmark.title
    else:
        picked, what = chosen.space.sample(random.Random(seed)), f"{space}, drawn with seed {seed}"
    picture = draw_svg(chosen.space.graph(picked, shapes), title=what, level=level)  # type: ignore[arg-type]  # a choice
    if out.suffix == ".html":
        write_atomic(out, _page(picture, what, chosen.space.cost(picked, shapes), dict(picked)))
    else:
        write_atomic(out, on_paper(picture))
    print(f"{out}: {what}, {shape_text(shapes)} ({where})")


def _page(picture: str, title: str, cost: Cost, decisions: dict[str, Any]) -> str:
    from html import escape

    rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(str(v))}</td></tr>" for k, v in decisions.items())
    costs = (
        f"{cost.params:,} parameters, {cost.macs:,} MACs, {cost.peak_activation_bytes:,} bytes of activations at most"
    )
    return PAGE.format(title=escape(title), costs=costs, picture=picture, count=len(decisions), rows=rows)
