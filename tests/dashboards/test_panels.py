"""Every panel there is, on every run there may be: rows, columns, figure and what is said when there is nothing."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from run_views import PAYLOAD, VIEWS, full_run, large_run, searching_run, three_objectives

from netwright.analysis.front import best_within_bounds
from netwright.core.errors import ConfigurationError, Mistake
from netwright.core.plugins import build, names
from netwright.core.records import Objective
from netwright.dashboards.answer import answer
from netwright.dashboards.figures import without_points
from netwright.dashboards.headline import cards
from netwright.dashboards.panel import Panel
from netwright.dashboards.panels.compression import Compression
from netwright.dashboards.payload import page_data, panel_data, report_data

PANELS = names("panel")
COLUMN_KEYS = ("key", "spread", "low", "high", "factor", "change", "remark", "absent")


def panel(name: str) -> Panel:
    found = build("panel", name)
    assert isinstance(found, Panel)
    return found


@pytest.mark.parametrize("case", VIEWS)
@pytest.mark.parametrize("name", PANELS)
def test_panel_gives_finite_plain_rows_and_a_table_of_them(name: str, case: str) -> None:
    view = VIEWS[case]()
    rows = panel(name).rows(view)
    json.dumps(rows, allow_nan=False)
    assert len({tuple(row) for row in rows}) <= 1, "all rows have the same keys in the same order"
    if rows:
        columns = panel(name).columns(rows, view)
        named = [getattr(c, f) for c in columns for f in COLUMN_KEYS]
        assert {key for key in named if key} <= set(rows[0])
        assert len({c.key for c in columns}) == len(columns)


@pytest.mark.parametrize("case", [case for case in VIEWS if case != "10,000 trials"])
@pytest.mark.parametrize("name", PANELS)
def test_figure_is_valid_plotly_and_can_be_filled_from_the_rows(name: str, case: str) -> None:
    view = VIEWS[case]()
    rows = panel(name).rows(view)
    figure = panel(name).figure(rows, view) if rows else None
    if figure is None:
        return
    json.dumps(figure, allow_nan=False)
    go.Figure(figure)
    for trace, bare in zip(figure["data"], without_points(figure)["data"], strict=True):
        if trace.get("meta", {}).get("edge"):
            better = figure["layout"]["meta"]["directions"]
            assert points_of(trace) == edge(rows, trace["meta"], better)
        elif "meta" in trace:
            assert not {"x", "y", "customdata"} & set(bare)
            assert (trace["x"], trace["y"]) == filled(trace["meta"], rows)


def filled(meta: dict[str, Any], rows: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """The points of a trace by its meta alone, as the page makes them."""
    x, y, where = meta["x"], meta["y"], meta["where"]
    chosen = [row for row in meta.get("rows", rows) if not where or row[where[0]] == where[1]]
    chosen = [row for row in chosen if row[x] is not None and row[y] is not None]
    if "rows" in meta:
        chosen = [r for i, r in enumerate(chosen) if i == 0 or (r[x], r[y]) != (chosen[i - 1][x], chosen[i - 1][y])]
    return [row[x] for row in chosen], [row[y] for row in chosen]


def points_of(trace: dict[str, Any]) -> list[tuple[float, float]]:
    return list(zip(trace["x"], trace["y"], strict=True))


def edge(rows: list[dict[str, Any]], meta: dict[str, Any], better: dict[str, str]) -> list[tuple[float, float]]:
    """What no feasible trial beats in both metrics, pair by pair."""
    signs = [-1 if better[meta[letter]] == "maximize" else 1 for letter in "xy"]
    known = [r for r in rows if r["group"] in ("on the front", "feasible") and None not in (r[meta["x"]], r[meta["y"]])]
    points = {(row[meta["x"]], row[meta["y"]]) for row in known}

    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        return all(s * a <= s * b for s, a, b in zip(signs, one, other, strict=True)) and one != other

    return sorted(point for point in points if not any(beats(one, point) for one in points))


@pytest.mark.parametrize("name", PANELS)
def test_panel_without_rows_says_what_to_do(name: str) -> None:
    data = panel_data(panel(name), VIEWS["no trials"]())
    assert data["rows"] == []
    assert len(data["empty"]) > 40
    assert data["empty"].endswith(".")


def test_panels_have_their_own_place_on_the_page() -> None:
    orders = [panel(name).order for name in PANELS]
    assert len(set(orders)) == len(orders)


def test_an_interval_of_a_share_over_seeds_stays_within_0_and_1() -> None:
    winner = dict(full_run().winner or {})
    racers = [dict(racer) for racer in winner["race"]["racers"]]
    wide = {"mean": 0.98, "low": 0.91, "high": 1.05, "values": [0.97, 0.99]}
    racers[0]["metrics"] = {**racers[0]["metrics"], "accuracy": wide}
    view = replace(full_run(), winner={**winner, "race": {**winner["race"], "racers": racers}})
    row = panel("seeds").rows(view)[0]
    assert (row["accuracy_low"], row["accuracy_high"]) == (0.91, 1.0)


def test_trainings_of_a_race_that_failed_are_told_with_their_reason() -> None:
    winner = dict(full_run().winner or {})
    failed = {"failed": [{"seed": 1, "reason": "the training loss became nan in epoch 3"}]}
    racers = [{**racer, **failed} for racer in winner["race"]["racers"]]
    view = replace(full_run(), winner={**winner, "race": {**winner["race"], "racers": racers}})
    told = "winner; 1 of 3 trainings failed: the training loss became nan in epoch 3"
    assert panel("seeds").rows(view)[0]["outcome"] == told


def test_stopped_failed_and_infeasible_trials_are_not_on_the_front() -> None:
    view = three_objectives()
    state = {trial.number: str(trial.state) for trial in view.trials}
    front = [row["number"] for row in panel("front").rows(view) if row["rank"] is not None]
    assert front
    assert {state[number] for number in front} == {"done"}


def test_a_run_of_10000_trials_is_drawn_by_webgl_and_stays_small() -> None:
    data = page_data(large_run())
    front = next(p for p in data["panels"] if p["name"] == "front")
    assert {trace["type"] for trace in front["figure"]["data"]} == {"scattergl", "scatter"}
    assert len(json.dumps(front["figure"])) < 10_000
    assert len(json.dumps(data)) < 2_500_000


def test_headline_is_computed_from_the_stages() -> None:
    found = {card["label"]: card for card in cards(full_run())}
    assert found["file size"]["factor"] == pytest.approx(251_400 / 31_870, rel=1e-3)
    assert found["latency"]["factor"] == 2.91
    assert (found["accuracy"]["value"], found["accuracy"]["before"]) == (0.9853, 0.9868)
    assert found["accuracy"]["low"] < 0.9853 < found["accuracy"]["high"]
    assert (found["accuracy"]["change"], found["accuracy"]["worse"]) == (-0.0015, True)
    assert list(found)[1:3] == ["latency", "MACs"], "the ratio of MACs stands beside the latency's"


def test_the_score_stands_beside_what_an_answer_without_a_network_has_on_the_same_samples() -> None:
    naive = {"answer": "always answering the most frequent class", "accuracy": 0.1135, "loss": 2.3}
    view = replace(full_run(), without_network=naive)
    (card,) = (card for card in cards(view) if "without" in card)
    assert (card["label"], card["without"], card["instead"]) == ("accuracy", 0.1135, naive["answer"])
    assert not any("without" in card for card in cards(replace(view, test={})))  # the other samples are not read yet
    assert not any("without" in card for card in cards(full_run()))
    assert answer(view)["caution"] == ""


@pytest.mark.parametrize(
    ("naive", "n", "told"),
    [(0.99, 10_000, "It is no better than"), (0.97, 100, "too few to tell"), (0.97, 10_000, "")],
)
def test_the_first_screen_warns_of_a_model_no_better_than_none(naive: float, n: int, told: str) -> None:
    test = {"model.int8.onnx": {"accuracy": 0.9853, "n": n, "sha256": "hash of quantize"}}
    without = {"answer": "always answering the most frequent class", "accuracy": naive}
    caution = answer(replace(full_run(), test=test, without_network=without))["caution"]
    assert (told in caution) if told else not caution
    assert not told or f"{without['answer']}, which needs no network: accuracy {100 * naive:.4g} %." in caution


@pytest.mark.parametrize(
    ("figures", "shown"),
    [
        ({"noisy": True, "reason": "NOISY: measure on a quieter machine"}, "measure on a quieter machine"),
        ({"speedup_low": 0.97, "speedup_high": 5.0}, "not resolved"),
        ({"resolution": 4.0}, "not resolved"),
    ],
)
def test_a_speed_up_within_the_noise_is_not_claimed(figures: dict[str, Any], shown: str) -> None:
    last = full_run().stages[-1]
    stages = [*full_run().stages[:-1], {**last, "latency": {**last["latency"], **figures}}]
    view = replace(full_run(), stages=stages)
    card = next(card for card in cards(view) if card["label"] == "latency")
    assert "factor" not in card
    assert shown in card["note"]
    assert ("about 0.14 ms" in card["note"]) == bool(figures.get("noisy"))
    row = panel("compression").rows(view)[-1]
    assert (row["speedup"], row["speedup_low"]) == (None, None)
    assert row["latency_ms_absent"] == ("noisy, about 0.14 ms" if figures.get("noisy") else "")
    assert shown in row["latency_ms_note"]


def test_proof_has_a_line_per_model_in_the_order_of_the_stages() -> None:
    winner, exported, quantized = panel("proof").rows(full_run())
    assert [row["model"] for row in (winner, exported, quantized)] == ["winner", "model.onnx", "model.int8.onnx"]
    assert (quantized["test_accuracy"], quantized["test_samples"]) == (0.9853, 10_000)
    assert quantized["test_accuracy_low"] < 0.9853 < quantized["test_accuracy_high"]
    assert (winner["agreement"], quantized["agreement"], quantized["shapes"]) == (None, 0.997, "batch sizes 1, 2, 7")


def test_proof_says_the_difference_at_every_shape_where_it_is_known() -> None:
    entry = {**full_run().parity[0], "by_shape": {"batch size 1": 2.5e-7, "batch size 7": 8.3e-7}}
    row = panel("proof").rows(replace(full_run(), parity=[entry], test=None))[0]
    assert row["shapes"] == "2.5e-07 at batch size 1, 8.3e-07 at batch size 7"


def test_coverage_counts_every_layer_once_by_what_became_of_it() -> None:
    notes = [
        {"layer": "", "verdict": "quantized", "reason": "90% of the parameters in 8 bits"},
        {"layer": "stem", "verdict": "measured", "reason": "loses nothing"},
        {"layer": "stem", "verdict": "quantized", "reason": "80 parameters"},
        {"layer": "head", "verdict": "left alone", "reason": "it produces the outputs"},
    ]
    view = replace(full_run(), stages=[{"stage": "quantize", "notes": notes}])
    assert panel("coverage").rows(view) == [
        {
            "stage": "quantize", "kept": "kept", "done": 1, "left": 1, "verdicts": "1 quantized, 1 left alone",
            "whole": "90% of the parameters in 8 bits",
        }
    ]  # fmt: skip
    assert [row["layer"] for row in panel("notes").rows(view)] == ["whole network", "head", "stem", "stem"]


@pytest.mark.parametrize(
    ("fidelity", "label", "value"), [(None, "epochs", 4.0), ({"axis": "data", "rungs": [0.25, 1]}, "data used", 0.25)]
)
def test_how_far_a_trial_was_trained_is_told_along_its_own_axis(
    fidelity: dict[str, Any] | None, label: str, value: float
) -> None:
    done = next(t for t in full_run().trials if t.state == "done")
    specification = {"search": {"trials": 1, "fidelity": fidelity}}
    view = replace(full_run(), trials=[replace(done, fidelity=value)], specification=specification)
    rows = panel("trials").rows(view)
    shown = next(c for c in panel("trials").columns(rows, view) if c.label == label)
    assert rows[0][shown.key] == value
    assert shown.kind == ("number" if fidelity is None else "share")


def test_answer_of_a_run_in_which_all_failed_says_why() -> None:
    view = VIEWS["all failed"]()
    assert answer(view)["text"].startswith(
        "No trial came to an end within the bounds yet: 4 failed. Most often: the worker ended"
    )
    assert panel("history").rows(view) == panel("front").rows(view) == []


def test_a_search_that_ended_with_nothing_says_what_to_do_and_counts_equal_failures_together() -> None:
    logged = [replace(t, reason=f"no sensor (see logs/trial-{t.number}-attempt-1.log)") for t in full_run().trials[:3]]
    view = replace(VIEWS["all failed"](), trials=[replace(t, state=logged[0].state.FAILED) for t in logged], asked=3)
    found = answer(replace(view, state="searched"))
    assert found["text"].endswith("Most often: no sensor. Mend the cause or loosen the bounds, and begin a new run.")
    assert found["command"] == ""
    assert "Failed 3 times: no sensor." in panel("trials").note(panel("trials").rows(view), view)


def test_a_model_of_ones_own_that_nothing_was_found_for_is_told_why_and_not_of_trials() -> None:
    view = replace(VIEWS["own model"](), stages=(), asked=0, solver={"verdict": "no setting of 2 meets params 10"})
    assert answer(view)["text"] == "Nothing has been compressed yet. No setting of 2 meets parameters 10."
    assert cards(view) == []


@pytest.mark.parametrize("case", VIEWS)
def test_answer_says_which_model_or_why_there_is_none(case: str) -> None:
    found = answer(VIEWS[case]())
    assert found["text"].endswith(".")
    assert "_ms" not in found["text"]


def test_answer_names_the_model_its_passes_its_proof_and_its_file(tmp_path: Path) -> None:
    (tmp_path / "model.int8.onnx").write_bytes(b"x")
    found = answer(replace(full_run(), bundle=tmp_path))
    assert found["text"].startswith(
        f"Trial {full_run().winner['trial']}, the highest accuracy on the front with latency"
    )
    assert found["text"].endswith("made smaller by structured prune and quantize.")
    assert "in 99.70 % of cases and is at most 0.31 off its outputs, the largest of which is 14." in found["proof"]
    assert (found["file"], found["command"]) == (str(tmp_path / "model.int8.onnx"), f"python {tmp_path}/load.py")


def test_answer_names_the_archive_whose_size_is_told_where_the_file_was_coded(tmp_path: Path) -> None:
    for name in ("model.int8.onnx", "model.nwz"):
        (tmp_path / name).write_bytes(b"x")
    stages = [*full_run().stages[:-1], {**full_run().stages[-1], "archive": "models/coded.nwz", "kept": True}]
    view = replace(full_run(), stages=stages, bundle=tmp_path)
    assert answer(view)["file"] == str(tmp_path / "model.nwz")
    assert answer(view)["proof"] == answer(replace(full_run(), bundle=tmp_path))["proof"]
    assert answer(replace(view, bundle=None))["file"] == str(view.path / "models" / "coded.nwz")


def test_answer_of_a_network_that_no_pass_was_to_change_does_not_speak_of_passes_rolled_back() -> None:
    view = full_run()
    assert answer(replace(view, stages=view.stages[:1]))["text"].endswith("not made smaller: no pass was asked for.")
    undone = [view.stages[0], *({**stage, "kept": False} for stage in view.stages[1:])]
    assert answer(replace(view, stages=undone))["text"].endswith("not made smaller: every pass was rolled back.")
    failed = [view.stages[0], *({**stage, "size_bytes": None} for stage in undone[1:])]
    assert answer(replace(view, stages=failed))["text"].endswith("not made smaller: no pass could be done.")
    mixed = answer(replace(view, stages=[*undone[:3], failed[3]]))["text"]
    assert mixed.endswith("not made smaller: 2 of 3 passes rolled back, the others could not be done.")


def test_a_pass_without_a_result_is_not_called_rolled_back_in_any_panel() -> None:
    view = full_run()
    none = {**view.stages[2], "kept": False, "reason": "nothing to do", **dict.fromkeys(("size_bytes", "latency_ms"))}
    shown = replace(view, stages=[*view.stages[:2], none])
    assert [row["verdict"] for row in Compression().rows(shown)] == ["kept", "kept", "could not be done"]


def test_what_was_to_go_the_whole_way_goes_on_the_whole_way_once_its_driver_has_ended(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    begun = replace(full_run(), path=tmp_path, bundle=None, environment={"command": "netwright run mine.yaml"})
    for view in (begun, replace(begun, stages=())):
        for pid, command in ((child.pid, f"netwright run --resume {tmp_path}"), (os.getpid(), "")):
            (tmp_path / ".lock.json").write_text(json.dumps({"host": socket.gethostname(), "pid": pid}))
            assert answer(view)["command"] == command
    step = replace(begun, environment={"command": "netwright search mine.yaml"})
    assert answer(step)["command"] == f"netwright export {tmp_path}"


class ForeignGraphs(dict[int, Any]):
    """Graphs of a space that is not installed here."""

    def get(self, number: int, default: object = None) -> Any:
        raise ConfigurationError([Mistake("space", "'their_space:Space' cannot be imported")])


@pytest.mark.parametrize("name", PANELS)
def test_a_run_of_a_space_that_is_not_installed_is_shown_without_its_drawing(name: str) -> None:
    data = panel_data(panel(name), replace(full_run(), graphs=ForeignGraphs()))
    assert data["drawing"] is None
    assert data["rows"] or name == "layers"


def test_a_bound_far_from_all_points_does_not_squeeze_them() -> None:
    objectives = [full_run().objectives[0], full_run().objectives[1].model_copy(update={"bound": 50.0})]
    view = replace(full_run(), objectives=objectives)
    front = panel("front")
    figure = front.figure(front.rows(view), view)
    assert figure is not None
    assert figure["layout"]["shapes"] == []
    assert "latency at most 50 ms" in front.note(front.rows(view), view)


def test_the_bounds_told_are_also_those_on_what_is_not_optimised() -> None:
    view = replace(full_run(), constraints=[Objective(metric="params", direction="minimize", bound=50_000.0)])
    front = panel("front")
    assert "latency at most 0.9 ms, parameters at most 50,000." in front.note(front.rows(view), view)
    figure = front.figure(front.rows(view), view)
    assert figure is not None
    assert figure["layout"]["meta"]["bounds"] == {"latency_ms": 0.9, "params": 50_000.0}


@pytest.mark.parametrize("case", VIEWS)
def test_headline_is_finite_for_every_run(case: str) -> None:
    json.dumps(cards(VIEWS[case]()), allow_nan=False)


def test_headline_of_a_search_names_the_best_trial() -> None:
    labels = [card["label"] for card in cards(searching_run())]
    assert labels == ["accuracy", "latency", "trials on the front", "trials tried"]


@pytest.mark.parametrize("metric", ["accuracy", "latency_ms"])
def test_the_best_trial_is_the_one_that_the_winners_rule_would_take(metric: str) -> None:
    view = searching_run(12)
    view = replace(view, specification={**view.specification, "winner": {"metric": metric}})
    best = best_within_bounds(view.trials, view.objectives, metric=metric)
    assert best is not None
    assert panel("architecture").note([], view).startswith(f"Trial {best.number} is the best within the bounds so far")
    assert cards(view)[1]["value"] == pytest.approx(best.value("latency_ms"))
    assert answer(view)["text"].startswith(f"Trial {best.number} is the best")


def test_texts_in_figures_are_escaped() -> None:
    stages = [{**stage, "stage": f"{stage['stage']} {PAYLOAD}"} for stage in full_run().stages]
    view = replace(full_run(), stages=stages)
    for name in PANELS:
        rows = panel(name).rows(view)
        figure = panel(name).figure(rows, view) if rows else None
        assert "<img" not in json.dumps(figure)


def test_the_page_says_which_folder_and_which_task_it_is_of() -> None:
    task = {"task": {"kind": "regression", "path": "data/prices.csv"}}
    told = page_data(replace(full_run(), path=Path("runs/monday"), specification=task))["run"]
    assert (told["title"], told["task"]) == ("digits (monday)", "regression of prices.csv")
    assert page_data(full_run())["run"]["title"] == "digits"


def test_scores_that_do_not_change_are_not_drawn_on_an_axis_below_zero() -> None:
    stages = [{**stage, "accuracy": 0.09} for stage in full_run().stages]
    view = replace(full_run(), stages=stages)
    figure = panel("compression").figure(panel("compression").rows(view), view)
    assert figure is not None
    assert figure["layout"]["yaxis"]["range"] == pytest.approx([0.081, 0.099])


def test_titles_of_many_lines_of_history_do_not_run_into_each_other() -> None:
    view = three_objectives()
    figure = panel("history").figure(panel("history").rows(view), view)
    assert figure is not None
    titles = figure["layout"]["annotations"]
    assert [title["text"] for title in titles] == [
        "best accuracy", "best latency (ms)", "best parameters", "hypervolume", "trials on the front",
    ]  # fmt: skip
    margin, height = figure["layout"]["margin"], figure["layout"]["height"]
    domains = [figure["layout"][f"yaxis{place}"]["domain"] for place in ("", 2, 3, 4, 5)]
    for upper, lower in itertools.pairwise(domains):
        assert (upper[0] - lower[1]) * (height - margin["t"] - margin["b"]) > 20, "room for a title between two lines"


def test_what_did_not_change_is_not_shown_twice() -> None:
    first = full_run().stages[0]
    view = replace(
        full_run(),
        test=None,
        stages=[first, {**full_run().stages[-1], "params": first["params"], "accuracy": first["accuracy"]}],
    )
    found = {card["label"]: card for card in cards(view)}
    assert found["parameters"]["note"] == "unchanged"
    assert found["accuracy"]["note"].startswith("unchanged; validation split")
    assert not any("before" in found[label] for label in ("parameters", "accuracy"))


def test_trials_across_have_whole_numbers() -> None:
    view = replace(VIEWS["one objective"](), trials=[t for t in full_run().trials if t.state == "done"][:3])
    figure = panel("front").figure(panel("front").rows(view), view)
    assert figure is not None
    assert figure["layout"]["xaxis"]["dtick"] >= 1


def test_report_data_holds_the_rows_of_every_panel() -> None:
    data = report_data(full_run())
    assert set(data["panels"]) == set(PANELS)
    assert len(data["panels"]["trials"]) == 30
    json.dumps(data, allow_nan=False)
