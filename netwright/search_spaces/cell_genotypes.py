"""Published notations of cells: DARTS genotypes, printed or as data, and the lists of NASNet and its successors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netwright.core.errors import SpaceError
from netwright.search_spaces.printed_python import printed_value

FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
EXPECTED = (
    "Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=[2, 3, 4, 5], reduce=[...], reduce_concat=[...]), "
    "the same as data, or {normal: {operations: [...], hiddenstate_indices: [...], used_hiddenstates: [...]}, ...}"
)
SYNONYMS = {
    "skip": "skip_connect",
    "identity": "skip_connect",
    "1x1": "conv_1x1",
    "3x3": "conv_3x3",
    "nor_conv_1x1": "conv_1x1",
    "nor_conv_3x3": "conv_3x3",
    "1x7_7x1": "conv_7x1_1x7",
    "1x3_3x1": "conv_3x1_1x3",
    "conv_1x7_7x1": "conv_7x1_1x7",
    "conv_1x3_3x1": "conv_3x1_1x3",
    **{f"sep_{size}x{size}": f"sep_conv_{size}x{size}" for size in (3, 5, 7)},
    **{f"separable_{size}x{size}_2": f"sep_conv_{size}x{size}" for size in (3, 5, 7)},
    **{f"dil_{size}x{size}": f"dil_conv_{size}x{size}" for size in (3, 5)},
}


@dataclass(frozen=True, slots=True)
class CellGenotype:
    """One cell: (operation, state) of the left and right side of every node in turn, and the concatenated states."""

    sides: tuple[tuple[str, int], ...]
    concat: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Genotype:
    """What a notation says; without a reduction cell the normal one serves. `extra` is all else it says."""

    normal: CellGenotype
    reduction: CellGenotype | None
    extra: Mapping[str, Any]


def read_genotype(given: Any) -> Genotype:
    """The cells that a text or data stands for. Text is parsed, never run.

    State 0 is the output of the cell before the last, 1 that of the last cell, 2 the first node. In the lists
    of NASNet, AmoebaNet and PNASNet it is the other way round for the first two, and `none` is a skip connection.

    Raises SpaceError when it is none of the notations.
    """
    try:
        data = printed_value(given, fields=FIELDS) if isinstance(given, str) else given
    except ValueError:
        raise _refused(given) from None
    if isinstance(data, (list, tuple)) and len(data) == len(FIELDS):
        data = dict(zip(FIELDS, data, strict=True))  # the named tuple as JSON has it
    if not isinstance(data, Mapping):
        raise _refused(given)
    try:
        cells = {kind: _cell(data, kind) for kind in ("normal", "reduction")}
    except (KeyError, TypeError, ValueError, IndexError):
        raise _refused(given) from None
    if cells["normal"] is None:
        raise _refused(given)
    known = ("normal", "normal_concat", "reduce", "reduce_concat", "reduction", "reduction_concat")
    extra = {name: value for name, value in data.items() if name not in known and value is not None}
    return Genotype(cells["normal"], cells["reduction"], extra)


def write_genotype(normal: CellGenotype, reduction: CellGenotype | None, extra: Mapping[str, Any]) -> str:
    """One line in the printed notation of DARTS, which `read_genotype` reads back."""
    parts = [f"normal={list(normal.sides)}", f"normal_concat={list(normal.concat)}"]
    if reduction is not None:
        parts += [f"reduce={list(reduction.sides)}", f"reduce_concat={list(reduction.concat)}"]
    return f"Genotype({', '.join([*parts, *(f'{name}={value!r}' for name, value in extra.items())])})"


def _cell(data: Mapping[str, Any], kind: str) -> CellGenotype | None:
    """The cell of a kind, or None when the data has none."""
    name = "reduce" if kind == "reduction" and "reduce" in data else kind
    cell = data.get(name)
    if cell is None:
        return None
    if isinstance(cell, Mapping):
        return _from_lists(cell, kind)
    sides = tuple((_operation(entry[0]), _state(entry[1])) for entry in _entries(cell))
    _check_pairs(kind, len(sides))
    concat = data.get(f"{name}_concat", range(2, len(sides) // 2 + 2))
    concat = printed_value(concat, fields=()) if isinstance(concat, str) else concat
    return CellGenotype(sides, tuple(sorted(_state(state) for state in concat)))


def _from_lists(cell: Mapping[str, Any], kind: str) -> CellGenotype:
    """A cell from lists of operations, of the states they read, and of the states used up within it."""
    operations, indices = list(cell["operations"]), [_swapped(_state(i)) for i in cell["hiddenstate_indices"]]
    _check_pairs(kind, len(operations))
    if len(operations) != len(indices):
        raise ValueError(operations)
    count = len(operations) // 2 + 2
    used = cell.get("used_hiddenstates") or [state in indices for state in range(count)]
    if len(used) != count:
        raise ValueError(used)
    named = ("skip_connect" if operation == "none" else _operation(operation) for operation in operations)
    concat = sorted(_swapped(state) for state, inside in enumerate(used) if not inside)
    return CellGenotype(tuple(zip(named, indices, strict=True)), tuple(concat))


def _swapped(state: int) -> int:
    return 1 - state if state < 2 else state


def _entries(cell: Sequence[Any]) -> list[Sequence[Any]]:
    """The (operation, state) entries, whether in one list or in one list per node."""
    flat: list[Sequence[Any]] = []
    for entry in cell:
        flat.extend([entry] if isinstance(entry[0], str) else _entries(entry))
    return flat


def _operation(name: Any) -> str:
    return SYNONYMS.get(name, str(name))


def _state(value: Any) -> int:
    """The number of a state; ValueError for what is no whole number."""
    if isinstance(value, bool) or value != int(value):
        raise ValueError(value)
    return int(value)


def _check_pairs(kind: str, count: int) -> None:
    if count % 2 or not count:
        raise SpaceError(f"the {kind} cell has {count} (operation, state) pairs; expected two for every node")


def _refused(given: Any) -> SpaceError:
    return SpaceError(f"not a genotype of cells; expected {EXPECTED}; came {given!r:.200}")
