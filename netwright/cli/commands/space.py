"""`netwright space`: what may be built, what it costs and how it looks, before anything is built."""

from __future__ import annotations

import click

from netwright.cli.main import Commands


class SpaceCommands(Commands):
    """The sub-commands of `netwright space`: every file in `cli/space/` is one."""

    folder = "space"


@click.command(
    cls=SpaceCommands,
    name="space",
    epilog="""\b
A SPACE is one of
  nasbench201             a space by name, see `netwright space list`
  my_module:MySpace       a space of your own
  space.yaml, recipe.yaml a file with a space's kind and settings, or a recipe with a `space:`
  landmark:resnet-50      the space that a well-known architecture lies in

\b
Examples:
  netwright space list
  netwright space show landmark:lenet-300-100
  netwright space sample convnet -n 3 | netwright space cost convnet --input 3x32x32 --classes 10 --json -
  netwright space profile convnet --task digits --bound 'macs<=1e5'""",
)
def command() -> None:
    """Look into search spaces: list, show, sample, cost, size, profile, draw, diff. None of it needs torch."""
