"""`netwright compress`: make a trial of a run, or any trained model, smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from netwright.cli.output import json_option, print_json, print_table
from netwright.cli.progress import shown
from netwright.core.errors import CompressionError

PLANNED = (
    "stage",
    "params",
    "macs",
    "MACs left",
    "size_bytes",
    "coded_bytes",
    "peak_activation_bytes",
    "touched",
    "reason",
)
BORNE = ("stage", "group", "field", "strength", "score", "loss", "params", "n", "reason")


@click.command(
    name="compress",
    epilog="""\b
Examples:
  netwright compress runs/first --trial best
  netwright compress runs/first --trial 17 --recipe recipe.yaml
  netwright compress runs/first --recipe recipe.yaml --dry-run
  netwright compress runs/first --recipe recipe.yaml --sensitivity --samples 500
  netwright compress --model my_package.net:build --weights w.safetensors --recipe recipe.yaml --out runs/mine
\b
Open fields, searched for the smallest file within the bounds; in recipe.yaml:
  compress:
    bounds: {accuracy_drop: 0.01, latency_ms: 4}
    solve: {minimize: size_bytes, trials: 20}
    passes: [{kind: structured_prune, ratio: {low: 0.2, high: 0.6}}, quantize]

A compression that was cut short goes on when the same command is given again.""",
)
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--trial", default="best", show_default=True, help="Number of a trial, or `best`.")
@click.option("--recipe", type=click.Path(path_type=Path), help="YAML with a `compress` part; default: the run's own.")
@click.option(
    "--model", metavar="PKG.MOD:BUILD", help="Function that builds your own trained model; torchvision:NAME, timm:NAME."
)
@click.option(
    "--weights", type=click.Path(path_type=Path), help="Its weights: safetensors, or a state dict that torch saved."
)
@click.option("--out", type=click.Path(path_type=Path), help="With --model: the run folder to make, or to go on with.")
@click.option("--dry-run", is_flag=True, help="Only say what each pass would do, without training or writing anything.")
@click.option("--sensitivity", is_flag=True, help="Only measure what each layer group bears, without training.")
@click.option("--samples", default=1000, show_default=True, type=click.IntRange(1), help="Samples for --sensitivity.")
@click.option("--set", "overrides", multiple=True, metavar="NAME.NAME=VALUE", help="Change a setting of the recipe.")
@json_option
def command(
    run: Path | None,
    trial: str,
    recipe: Path | None,
    model: str | None,
    weights: Path | None,
    out: Path | None,
    dry_run: bool,
    sensitivity: bool,
    samples: int,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compress a trial of RUN, or your own model, pass by pass, measuring after each."""
    from netwright import api

    if (run is None) == (model is None):
        raise click.UsageError("give a run folder, or --model with --weights and --recipe")
    if model is not None and recipe is None:
        raise click.UsageError("--model needs --recipe: a YAML file with a `task` and a `compress` part")
    if model is None and (weights is not None or out is not None):
        raise click.UsageError(f"{'--weights' if weights is not None else '--out'} goes with --model, not with a run")
    if dry_run and sensitivity:
        raise click.UsageError("give --dry-run or --sensitivity, not both")
    given: dict[str, Any] = {"recipe": recipe, "overrides": overrides}
    of_model: dict[str, Any] = {"weights": weights}
    with shown(quiet=as_json) as listener:
        if dry_run:
            planned = api.plan_compression(run, trial=trial, model=model, **of_model, **given, listener=listener)
            _print_plan(planned, as_json=as_json)
            return
        if sensitivity:
            found = api.sensitivity(
                run, trial=trial, model=model, out=out, samples=samples, **of_model, **given, listener=listener
            )
        elif model is not None:
            result = api.compress_model(model, out=out, **of_model, **given, listener=listener)
        else:
            assert run is not None
            result = api.compress(run, trial=trial, **given, listener=listener)
    if sensitivity:
        _print_sensitivity(found, as_json=as_json)
        return
    why = _undone(result["stages"][1:])
    if not (why and as_json):  # a program gets one document
        _print_result(result, as_json=as_json)
    if why:
        raise CompressionError(why)


def _undone(stages: Sequence[Mapping[str, Any]]) -> str:
    """Why the command failed though all was written: no pass could be done."""
    reasons = [f"{row['stage']}: {row['reason']}" for row in stages if not row["kept"] and row["size_bytes"] is None]
    everything = stages and len(reasons) == len(stages)
    return f"no pass could be done, so the model is as it was ({'; '.join(reasons)})" if everything else ""


def _print_result(result: Mapping[str, Any], *, as_json: bool) -> None:
    from netwright.analysis.tradeoff import outcome
    from netwright.runs.rows import settings_text, table_columns

    if as_json:
        print_json(result)
        return
    if front := result["recipe_front"]:
        points = [{**row, "settings": settings_text(row["settings"])} for row in front]
        print_table(points, title="The front: settings that keep all bounds and that no other one beats")
        print()
    stages = result["stages"]
    columns = [name for name in table_columns(stages) if name != "reason"]
    print_table(stages, columns=columns, title=f"Compression, {result['run']}")
    print()
    for row in stages:
        if told := row["did"] if row["kept"] else f"{outcome(row)}: {row['reason']}":
            print(f"{row['stage']}: {told}")
    print("\n" + result["summary"])
    print(f"\nReport   {result['report']}\nBundle   {result['bundle']}\nRun      {result['run']}")


def _print_plan(planned: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(planned)
        return
    passes: Sequence[Mapping[str, Any]] = planned["passes"]
    first = passes[0]
    rows = [
        {
            **row,
            "MACs left": f"{row['macs'] / first['macs']:.1%}" if first["macs"] else None,
            "touched": f"{row['touched']} of {row['groups']}" if row["groups"] else "",
        }
        for row in passes
    ]
    print_table(rows, columns=PLANNED, title="Plan: predicted without training; nothing was written")
    verdicts = [
        {"pass": row["stage"], "layer": one["layer"] or "(all)", "applies": one["applies"], "reason": one["reason"]}
        for row in passes
        for one in row["verdicts"]
    ]
    if verdicts:
        print()
        print_table(verdicts, columns=("pass", "layer", "applies", "reason"), title="Layer groups")
    for name, domain in planned["open"].items():
        print(f"{name} is open: {domain}; planned at its first value")


def _print_sensitivity(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    if not found["rows"]:
        print("No pass of the recipe can be measured without training: they only train, or lose nothing.")
        return
    rows = [{**row, "group": row["group"] or "(all)"} for row in found["rows"]]
    print_table(rows, columns=BORNE, title="Sensitivity: each group compressed alone, without training")
    print(f"\nReport   {found['report']}")
