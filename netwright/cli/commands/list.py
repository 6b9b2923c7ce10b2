"""`netwright list`: the plugins of a kind."""

from __future__ import annotations

import click

from netwright.cli.output import json_option, print_json, print_table


@click.command(name="list", epilog="Example: netwright list spaces")
@click.argument("what", metavar="[KIND]", required=False)
@json_option
def command(what: str | None, as_json: bool) -> None:
    """List the plugins of a KIND, such as spaces or passes; without one, of every kind."""
    from netwright.core.errors import UnknownNameError
    from netwright.core.plugins import KINDS, names

    by_plural = {kind.plural: kind.name for kind in KINDS.values()} | {kind.name: kind.name for kind in KINDS.values()}
    if what is None:
        rows = [{"kind": kind.plural, "plugins": ", ".join(names(kind.name))} for kind in KINDS.values()]
    elif what not in by_plural:
        raise UnknownNameError("kind of plugin", what, [kind.plural for kind in KINDS.values()])
    else:
        kind = by_plural[what]
        rows = [{"name": name, "what": _summary(kind, name)} for name in names(kind)]
    if as_json:
        print_json(rows)
    else:
        print_table(rows)


def _summary(kind: str, name: str) -> str:
    """What a plugin is, or why one, such as another package's, cannot be loaded: the others are listed all the same."""
    from netwright.core.errors import NetwrightError
    from netwright.core.plugins import summary

    try:
        return summary(kind, name)
    except NetwrightError as error:
        return f"cannot be used: {error}"
