"""`netwright bench`: the latency of ONNX files by the protocol."""

from __future__ import annotations

from pathlib import Path

import click

from netwright.cli.output import json_option, print_json, print_table


@click.command(
    name="bench",
    epilog="""\b
Examples:
  netwright bench model.onnx
  netwright bench bundle/model.onnx bundle/model.int8.onnx     # side by side, with the speed-up""",
)
@click.argument("models", metavar="MODEL.onnx", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of the runtime.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Samples per call.")
@json_option
def command(models: tuple[Path, ...], threads: int, batch: int, as_json: bool) -> None:
    """Measure the latency of ONNX files in ONNX Runtime, interleaved, with an A/A control."""
    from netwright import api

    rows = api.bench(models, threads=threads, batch=batch)
    if as_json:
        print_json(rows)
        return
    shown = ["model", "median_ms", "p10_ms", "p90_ms", "p95_ms", "iqr_ms", "n", "verdict", "speed-up"]
    print_table(rows, columns=shown)
