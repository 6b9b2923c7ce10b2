"""Configuration: every mistake is reported at once, in words, with the nearest valid name."""

from __future__ import annotations

import pytest
from pydantic import Field

from netwright.core.config import Settings, parse_yaml, read_yaml, with_overrides
from netwright.core.errors import ConfigurationError


class Inner(Settings):
    depth: int = 1
    widths: tuple[int, ...] = (8,)


class Outer(Settings):
    name: str
    inner: Inner = Inner()


class Listed(Settings):
    numbers: tuple[int, ...] = Field(min_length=1)


def test_a_list_whose_only_item_is_wrong_is_not_told_to_be_empty_too() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Listed.parse({"numbers": ["wide"]})
    assert [mistake.where for mistake in caught.value.mistakes] == ["numbers.0"]
    with pytest.raises(ConfigurationError, match="at least 1 item"):
        Listed.parse({"numbers": []})


def test_all_mistakes_come_at_once_with_suggestions() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Outer.parse({"naem": "x", "inner": {"depht": 2, "widths": ["wide"]}}, source="run.yaml")
    text = str(caught.value)
    assert "run.yaml: 4 mistakes" in text
    assert "name: is missing" in text
    assert "naem: unknown field; did you mean 'name'?" in text
    assert "inner.depht: unknown field; did you mean 'depth'?" in text
    assert "came 'wide'" in text


@pytest.mark.parametrize("given", ["8", {"a": 8}])
def test_what_is_no_list_is_told_in_words(given: object) -> None:
    with pytest.raises(ConfigurationError, match=r"inner\.widths: expected a list, such as \[a, b\], came .*8"):
        Outer.parse({"name": "x", "inner": {"widths": given}})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2", "the key 'a' is given twice"),
        ("a: &x 1\nb: *x", "aliases are not allowed"),
        ("a: [1, 2", "line 1"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ],
)
def test_treacherous_yaml_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse_yaml(text, source="x.yaml")


def test_scientific_notation_is_a_number() -> None:
    assert parse_yaml("rate: 1e-3\nother: 2.5E+2", source="x") == {"rate": 0.001, "other": 250.0}


def test_a_missing_file_and_a_list_are_named(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        read_yaml(tmp_path / "absent.yaml")
    path = tmp_path / "list.yaml"
    path.write_text("- 1\n- 2\n")
    with pytest.raises(ConfigurationError, match="expected a mapping"):
        read_yaml(path)


def test_overrides_reach_into_groups_and_leave_the_original_alone() -> None:
    data = {"search": {"trials": 5, "strategy": "tpe"}}
    changed = with_overrides(data, ["search.trials=200", "search.strategy.seed=3", "name=x"])
    assert changed == {"search": {"trials": 200, "strategy": {"kind": "tpe", "seed": 3}}, "name": "x"}
    assert data == {"search": {"trials": 5, "strategy": "tpe"}}
    with pytest.raises(ConfigurationError, match=r"expected name\.name=value"):
        with_overrides(data, ["search.trials"])
