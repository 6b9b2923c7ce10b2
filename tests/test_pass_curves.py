"""The curves of the passes: recipes that run, points that are measured once, pictures whose words can be read."""

from __future__ import annotations

import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from netwright.compression.recipe import Recipe
from netwright.core.files import content_hash
from netwright.core.plugins import names
from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "scripts"))
import draw_pass_curves as drawing
from compressing import curves
from compressing._curve_points import LINES, lines

HIGHEST = 0.9173
"""Accuracy of the network as it is."""


def test_every_pass_that_changes_a_result_has_a_curve_of_recipes_that_are_legal() -> None:
    assert set(LINES) == set(names("pass")) - {"fold"}
    recipes = [recipe for name in LINES for line in lines(name) for recipe in line.points.values()]
    assert all(len(Recipe.parse({"passes": recipe}).passes) == len(recipe) for recipe in recipes)


def test_a_point_that_is_known_is_not_measured_again(tmp_path: Path) -> None:
    asked = {"passes": ["fold"], "fine_tune": curves.TRAINING, "task": curves.TASK}
    (tmp_path / "points").mkdir()
    stored = tmp_path / "points" / f"{content_hash(asked)[:16]}.json"
    stored.write_text(json.dumps({"accuracy": 0.5}), encoding="utf-8")
    assert curves._point(["fold"], tmp_path) == {"accuracy": 0.5}
    assert not (tmp_path / "run").exists()


def test_no_word_of_a_picture_hides_another() -> None:
    for name in LINES:
        texts = ElementTree.fromstring(drawing.drawn(name, _rows(name))).iter("{http://www.w3.org/2000/svg}text")
        words = [(text.text or "", _box(text)) for text in texts if "transform" not in text.attrib]
        hidden = [(one, other) for (one, box), (other, its) in combinations(words, 2) if box.meets(its)]
        assert not hidden, f"{name}: {hidden}"
        assert {line.name for line in lines(name)} <= {text for text, _ in words}


def test_a_word_of_a_picture_is_nearest_to_a_point_of_its_own_line() -> None:
    rows = _rows("structured_prune")
    for row, accuracies in zip(rows, [(0.888, 0.822, 0.73, 0.46), (0.871, 0.753, 0.606, 0.179)], strict=True):
        for stage, accuracy in zip(row["stages"][1:], accuracies, strict=True):
            stage |= {"accuracy": accuracy, "low": accuracy - 0.01, "high": accuracy + 0.01}
    picture = ElementTree.fromstring(drawing.drawn("structured_prune", rows))
    dots = list(picture.iter("{http://www.w3.org/2000/svg}circle"))
    for text in picture.iter("{http://www.w3.org/2000/svg}text"):
        if text.attrib["fill"] in drawing.COLOURS:
            box = _box(text)
            nearest = min(dots, key=lambda dot, box=box: box.gap((float(dot.attrib["cx"]), float(dot.attrib["cy"]))))
            assert nearest.attrib["fill"] == text.attrib["fill"], text.text


def test_the_table_has_every_value_of_the_setting() -> None:
    rows = drawing.table(_rows("n_m_prune")).splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| as published", "| 3:4", "| 2:4", "| 1:4", "| 1:8"]


def _rows(name: str) -> list[dict[str, Any]]:
    """Rows as `measure` gives them, of figures that fall with every value of the setting."""
    rows = []
    for number, line in enumerate(lines(name)):
        values = [None, *line.points]
        stages = [
            {"strength": value, **_figures(1 - n / len(values), 0.01 * n * (number + 1))}
            for n, value in enumerate(values)
        ]
        stages[0].pop("strength")
        rows.append(
            {
                "pass": name,
                "line": line.name,
                "setting": line.setting,
                "across": line.across,
                "upwards": line.upwards,
                "stages": stages,
            }
        )
    return rows


def _figures(share: float, lost: float) -> dict[str, Any]:
    sizes = {"size_bytes": 1_086_230, "coded_bytes": 903_821, "gzip_bytes": 1_008_316, "macs": 40_551_040}
    accuracy = HIGHEST - lost
    figures = {name: int(value * share) for name, value in sizes.items()}
    return {"accuracy": accuracy, "low": accuracy - 0.008, "high": accuracy + 0.008, **figures}


def _box(text: ElementTree.Element) -> drawing.Box:
    size = float(text.attrib["font-size"])
    width = drawing.LETTER * size * len(text.text or "")
    x, y = float(text.attrib["x"]), float(text.attrib["y"])
    left = x - width * {"start": 0, "middle": 0.5, "end": 1}[text.attrib["text-anchor"]]
    return drawing.Box(left, y - size * 0.8, left + width, y)
