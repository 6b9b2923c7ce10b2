"""`netwright dashboard`: follow a run in the browser."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="dashboard", epilog="Example: netwright dashboard runs/quickstart --port 8600")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8600, show_default=True, help="0 takes a free one.")
def command(run: Path, port: int) -> None:
    """Serve a live page about RUN on this machine only (127.0.0.1); Ctrl-C ends it."""
    from netwright.dashboards.app import serve

    serve(run, port=port, announce=lambda url: print(f"{url}   (Ctrl-C ends it)", flush=True))
