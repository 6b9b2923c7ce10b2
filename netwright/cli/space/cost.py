"""`netwright space cost`: what architectures cost, one JSON line in, one JSON line out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from netwright.cli.output import json_option, print_table
from netwright.cli.space_arguments import chosen_shapes, chosen_space, read_decisions, settings_option, shape_options

if TYPE_CHECKING:
    from netwright.core.records import Decisions
    from netwright.core.shapes import Shapes
    from netwright.search_spaces.space import SearchSpace


@click.command(
    name="cost",
    epilog="""\b
Examples:
  echo '{"genotype": "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|skip_connect~1|nor_conv_3x3~2|"}' \\
    | netwright space cost nasbench201 --input 3x32x32 --classes 10 --json -
  netwright space cost convnet --task digits architectures.jsonl --json""",
)
@click.argument("space")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default="-")
@settings_option
@shape_options
@json_option
def command(space: str, file: Path, overrides: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Identity, parameters, MACs and peak activation bytes of architectures, from their decisions alone.

    FILE (- is standard input) holds one JSON object per line, {"decisions": {...}} or {"genotype": ...}. With
    --json each line is answered by one JSON line with identity, params, macs and activation_bytes (32-bit,
    batch 1), or with {"error": "..."}. A bad line stops nothing: its error is its answer, and the exit code is
    0 when all lines were answered.
    """
    chosen = chosen_space(space, overrides)
    shapes, _ = chosen_shapes(chosen, **given)
    with _opened(file) as lines:
        found = answers(chosen.space, shapes, lines)
        if not as_json:
            print_table(list(found), columns=("identity", "params", "macs", "activation_bytes", "error"))
            return
        for answer in found:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def answers(space: SearchSpace, shapes: Shapes, lines: Iterable[bytes]) -> Iterator[dict[str, object]]:
    """What each line's architecture costs, or its error; exactly one answer per line."""
    from netwright.core.errors import NetwrightError

    for line in lines:
        try:
            decisions = _decisions(space, json.loads(line))
            identity, cost = space.describe(decisions, shapes)
        except NetwrightError as error:
            yield {"error": str(error)}
        except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested without end
            yield {"error": _not_json(line, error)}
        except Exception as error:  # a fault of a user's own space must not stop the others
            yield {"error": f"fault of the space: {type(error).__name__}: {error}"}
        else:
            yield {
                "identity": identity,
                "params": cost.params,
                "macs": cost.macs,
                "activation_bytes": cost.peak_activation_bytes,
            }


def _not_json(line: bytes, error: Exception) -> str:
    """What is wrong with a line, without the number of a line that it is not."""
    if not line.strip():
        return 'an empty line; expected {"decisions": {...}} or {"genotype": ...}'
    what = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
    return f"not a line of JSON: {what}"


def _opened(file: Path) -> AbstractContextManager[IO[bytes]]:
    from netwright.core.errors import SpaceError

    if str(file) == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return file.open("rb")
    except OSError as error:
        raise SpaceError(f"{file} cannot be read: {error.strerror}") from None


def _decisions(space: SearchSpace, document: object) -> Decisions:
    """The decisions of a line; costing checks them, so that checking here would take the time twice."""
    given = document.get("decisions") if isinstance(document, Mapping) else None
    return given if isinstance(given, Mapping) else read_decisions(space, document)
