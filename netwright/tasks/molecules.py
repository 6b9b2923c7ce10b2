"""Molecules as graphs: 62 features of every atom and 6 of every bond, as in Duvenaud et al., 2015.

An atom: its element (43, or another), its bonds (0 to 5), hydrogens (0 to 4), implicit valence (0 to 5), each one of
so many; whether it is aromatic. A bond: single, double, triple or aromatic; conjugated; in a ring. Only this file
imports RDKit.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from netwright.core.errors import DataError, MissingPackageError
from netwright.tasks.data import AnyArray, FloatArray
from netwright.tasks.packed_graphs import pack_graph

ELEMENTS = (
    *("H", "Li", "B", "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "K", "Ca", "Ti", "V", "Cr", "Mn"),
    *("Fe", "Co", "Ni", "Cu", "Zn", "Ge", "As", "Se", "Br", "Zr", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "I", "Yb"),
    *("Pt", "Au", "Hg", "Tl", "Pb"),
)
DEGREES, HYDROGENS, VALENCES = 6, 5, 6
BOND_FEATURES = 6

Graph = tuple[AnyArray, AnyArray, AnyArray]
"""Atoms (n, 62), which of them are joined (n, n), and features of the bonds (n, n, 6)."""


def molecule(smiles: str) -> Graph:
    """The graph of a molecule without its hydrogens.

    Raises DataError when RDKit cannot read the SMILES, MissingPackageError without RDKit.
    """
    try:
        from rdkit import Chem, rdBase
    except ImportError:
        raise MissingPackageError("SMILES are read by RDKit: pip install rdkit") from None
    with rdBase.BlockLogs():
        found = Chem.MolFromSmiles(smiles)
    if found is None or found.GetNumAtoms() == 0:
        raise DataError(f"{smiles!r} is no SMILES of a molecule; mend or remove it")
    count = found.GetNumAtoms()
    implicit = Chem.ValenceType.IMPLICIT
    atoms = np.array(
        [
            [
                *_one_of(_place(atom.GetSymbol()), len(ELEMENTS) + 1),
                *_one_of(atom.GetDegree(), DEGREES),
                *_one_of(atom.GetTotalNumHs(), HYDROGENS),
                *_one_of(atom.GetValence(implicit), VALENCES),
                float(atom.GetIsAromatic()),
            ]
            for atom in found.GetAtoms()
        ]
    )
    kinds = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC)
    joined, bonds = np.zeros((count, count)), np.zeros((count, count, BOND_FEATURES))
    for bond in found.GetBonds():
        features = [*(bond.GetBondType() == kind for kind in kinds), bond.GetIsConjugated(), bond.IsInRing()]
        one, two = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        for place in ((one, two), (two, one)):
            joined[place], bonds[place] = 1, features
    return atoms, joined, bonds


def pack_molecules(smiles: Iterable[str], *, size: int | None = None) -> FloatArray:
    """Molecules as a network takes them, [N, size, 1 + 62 + size + 6]; `size` is that of the largest unless given.

    Raises DataError naming the row of one that cannot be read or is larger.
    """
    graphs = []
    for row, one in enumerate(smiles, start=1):
        try:
            graphs.append(molecule(one))
        except DataError as error:
            raise DataError(f"molecule {row}: {error}") from None
    size = size or max((len(atoms) for atoms, _, _ in graphs), default=1)
    return np.stack([pack_graph(*graph, size=size) for graph in graphs])


def _one_of(place: int, count: int) -> list[float]:
    """Zeros with a one; what is beyond the last place counts as the last."""
    return [float(index == min(place, count - 1)) for index in range(count)]


def _place(symbol: str) -> int:
    return ELEMENTS.index(symbol) if symbol in ELEMENTS else len(ELEMENTS)
