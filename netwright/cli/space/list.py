"""`netwright space list`: every space, and every well-known architecture in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from netwright.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from netwright.search_spaces.space import SearchSpace

QUICK_LIMIT, QUICK_WALKS = 20_000, 200


@click.command(name="list", epilog="Example: netwright space list --json")
@json_option
def command(as_json: bool) -> None:
    """List the spaces with their sizes, and the landmarks: well-known architectures as points in them.

    A size that is "about" so much is a quick estimate, which may well be wrong by half; `netwright space size` takes
    longer and tells its standard error.
    """
    from netwright.core.plugins import built, names, summary
    from netwright.search_spaces.landmark import landmark_names
    from netwright.search_spaces.space import SearchSpace

    spaces = []
    for name in names("space"):
        space = built(SearchSpace, name)
        spaces.append({"space": name, **_numbers(space, as_json), "what": summary("space", name)})
    landmarks = [_landmark(name) for name in landmark_names()]
    if as_json:
        print_json({"spaces": spaces, "landmarks": landmarks})
        return
    print_table(spaces)
    print("\nAbout so much: a quick estimate. A better one, with its standard error: netwright space size NAME")
    if landmarks:
        print_table(landmarks, title="\nLandmarks: netwright space show landmark:NAME")


def _numbers(space: SearchSpace, as_json: bool) -> dict[str, object]:
    """The size of the space, and how many decisions one architecture takes."""
    import random

    from netwright.cli.space.size import size_json
    from netwright.search_spaces.size import size_of

    size = size_of(space, limit=QUICK_LIMIT, walks=QUICK_WALKS)
    counts = sorted({len(space.sample(random.Random(seed))) for seed in range(20)})
    if as_json:
        return {**size_json(size), "decisions": [counts[0], counts[-1]]}
    words = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"
    return {"size": str(size), "decisions": words}


def _landmark(name: str) -> dict[str, object]:
    from netwright.core.plugins import name_of
    from netwright.search_spaces.landmark import load_landmark

    landmark = load_landmark(name)
    cost = landmark.search_space.cost(landmark.resolved(), landmark.shapes)
    return {
        "landmark": name,
        "title": landmark.title,
        "space": name_of(landmark.search_space),
        "params": cost.params,
        "macs": cost.macs,
    }
