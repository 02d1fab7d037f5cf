"""SymmetryFunctions: element-resolved sums over pairs and triples, G [atoms, features]."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from ase.data import atomic_numbers
from torch import Tensor, nn

from bp_descriptors import functions as terms
from bp_descriptors.fast import Compiled, FastG, Neighborhood, library
from bp_descriptors.geometry import norm, pair_vectors
from bp_descriptors.neighbors import Pairs, neighbor_list
from bp_descriptors.presets import default_functions, read_n2p2, write_n2p2
from bp_descriptors.specification import Function
from bp_descriptors.structures import structures_of
from bp_descriptors.triples import triples_of


class SymmetryFunctions(nn.Module):
    """Behler–Parrinello symmetry functions of a list of elements; a set of its own for each central element.

    The functions of an element are in n2p2's order (see :attr:`Function.order`), whatever the order given;
    G has ``n_features`` columns, the size of the largest set, and zeros beyond an element's own.

    Args:
        functions: of all central elements.
        elements: symbols of further elements that may be there, without functions of their own: neighbours that
            sums over all elements count.

    Raises:
        ValueError: no function, a function given twice, an unknown symbol.
    """

    _number_to_element: Tensor
    _columns: Tensor

    def __init__(self, functions: Sequence[Function], elements: Sequence[str] = ()) -> None:
        super().__init__()
        if not functions:
            raise ValueError("expected at least one symmetry function; got none")
        ordered = sorted(functions, key=lambda f: f.order)
        for one, other in pairwise(ordered):
            if one == other:
                raise ValueError(f"a symmetry function is given twice: {one.label}")
        symbols = {*elements, *(s for f in ordered for s in (f.center, *f.neighbors))}
        unknown = sorted(s for s in symbols if atomic_numbers.get(s, 0) < 1)
        if unknown:
            raise ValueError(f"expected element symbols; got {unknown[0]!r}")
        self.elements: list[str] = sorted(symbols, key=atomic_numbers.__getitem__)
        self.functions: dict[str, list[Function]] = {s: [f for f in ordered if f.center == s] for s in self.elements}
        self.cutoff: float = max(f.cutoff.radius for f in ordered)  # Å
        self.n_features: int = max(len(fs) for fs in self.functions.values())
        self._blocks = [_Block(family, len(self.elements)) for family in _families(ordered) if family]
        self.compiled = Compiled(self.functions, self.n_features)
        number_to_element = torch.full((120,), -1, dtype=torch.int64)
        for k, symbol in enumerate(self.elements):
            number_to_element[atomic_numbers[symbol]] = k
        self.register_buffer("_number_to_element", number_to_element, persistent=False)
        self.register_buffer("_columns", self._build_columns(), persistent=False)

    @classmethod
    def default(cls, elements: Sequence[str], cutoff: float = 5.0, **options: Any) -> SymmetryFunctions:
        """An automatic set; options as in :func:`~bp_descriptors.presets.default_functions`."""
        return cls(default_functions(elements, cutoff, **options), elements)

    @classmethod
    def from_n2p2(cls, path: str | Path, length_unit: str = "bohr") -> SymmetryFunctions:
        """The set of an n2p2 ``input.nn``; see :func:`~bp_descriptors.presets.read_n2p2`."""
        return cls(read_n2p2(path, length_unit))

    def to_n2p2(self, length_unit: str = "bohr") -> str:
        """The set as lines of an ``input.nn``; see :func:`~bp_descriptors.presets.write_n2p2`."""
        return write_n2p2([f for fs in self.functions.values() for f in fs], length_unit)

    def to_dict(self) -> dict[str, Any]:
        """The whole configuration as plain values; :meth:`from_dict` builds the same module."""
        functions = [f.to_dict() for fs in self.functions.values() for f in fs]
        return {"functions": functions, "elements": list(self.elements)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SymmetryFunctions:
        """Inverse of :meth:`to_dict`; raises ValueError when the dictionary is not one of its."""
        if not isinstance(data.get("functions"), list):
            raise ValueError(f"expected a dictionary with a list 'functions'; got the keys {sorted(data)}")
        return cls([Function.from_dict(d) for d in data["functions"]], data.get("elements", ()))

    @property
    def labels(self) -> dict[str, list[str]]:
        """What each feature is, in column order, for each central element."""
        return {s: [f.label for f in fs] for s, fs in self.functions.items()}

    def features_of(self, number: int) -> int:
        """How many columns of G the element with atomic ``number`` uses."""
        element = int(self._number_to_element[number]) if 0 < number < 120 else -1
        if element < 0:
            raise ValueError(f"no symmetry functions for atomic number {number}; there are {self.elements}")
        return len(self.functions[self.elements[element]])

    def element_index(self, numbers: Tensor) -> Tensor:
        """Position in :attr:`elements` of each of ``numbers`` [atoms]; ValueError names an unknown one."""
        index = self._number_to_element[numbers.clamp(0, 119)]
        if bool((index < 0).any()):
            atom = int(torch.nonzero(index < 0)[0])
            raise ValueError(
                f"atom {atom} has atomic number {int(numbers[atom])}; there are functions for {self.elements}"
            )
        return index

    def forward(self, numbers: Tensor, vectors: Tensor, pairs: Pairs) -> Tensor:
        """G [atoms, features] from atomic ``numbers`` [atoms] and pair ``vectors`` [pairs, 3] Å.

        Derivatives of every order with respect to ``vectors``; dtype and device are theirs. ``pairs`` is a
        full list (``half=False``) with at least the cut-off of this set.

        Raises:
            ValueError: an element without functions, a half list, shapes that do not fit.
        """
        element = self.element_index(numbers)
        if pairs.half:
            raise ValueError("symmetry functions need both directions of a pair; got a half neighbour list")
        if vectors.shape != (pairs.n_pairs, 3):
            raise ValueError(f"vectors must have shape [{pairs.n_pairs}, 3]; got {list(vectors.shape)}")
        if vectors.device.type != "cpu" or library() is None:
            return self.definition(numbers, element, vectors, pairs)
        if bool((pairs.i[1:] < pairs.i[:-1]).any()):
            order = torch.argsort(pairs.i, stable=True)
            vectors = vectors[order]
            pairs = Pairs(pairs.i[order], pairs.j[order], pairs.shift[order], pairs.half)
        environment = Neighborhood(self.compiled, element, pairs.i, pairs.j)
        return FastG.apply(vectors, environment, lambda v: self.definition(numbers, element, v, pairs))

    def definition(self, numbers: Tensor, element: Tensor, vectors: Tensor, pairs: Pairs) -> Tensor:
        """The torch definition behind :meth:`forward`, G [atoms, features]."""
        sums = [vectors.new_zeros(numbers.shape[0], 1)]
        r = norm(vectors)
        for block in self._blocks:
            sums.append(block(numbers, element, vectors, r, pairs))
        return torch.cat(sums, 1).gather(1, self._columns[element])

    @torch.no_grad()
    def describe(self, atoms: Atoms | Sequence[Atoms], centers: Sequence[str] | None = None) -> Tensor:
        """G [atoms, features], float64, of an ASE ``Atoms`` or a list of them (atoms one after another).

        With ``centers`` (symbols) the rows are those of atoms of these elements only, in the order of the atoms.
        """
        batch = structures_of(atoms)
        batch = batch._replace(**{k: v.to(self._columns.device) for k, v in batch._asdict().items()})
        pairs = neighbor_list(batch.positions, self.cutoff, batch.system_idx, batch.cell, batch.pbc)
        if centers is not None:
            chosen = torch.isin(batch.numbers, batch.numbers.new_tensor([atomic_numbers[s] for s in centers]))
            kept = chosen[pairs.i]
            pairs = Pairs(pairs.i[kept], pairs.j[kept], pairs.shift[kept], pairs.half)
        vectors = pair_vectors(batch.positions, pairs, batch.system_idx, batch.cell)
        values: Tensor = self(batch.numbers, vectors, pairs)
        return values if centers is None else values[chosen]

    def _build_columns(self) -> Tensor:
        """Where each feature of each element stands in the concatenated sums; 0 is the column of zeros."""
        columns = torch.zeros(len(self.elements), self.n_features, dtype=torch.int64)
        for e, symbol in enumerate(self.elements):
            for f, function in enumerate(self.functions[symbol]):
                offset = 1
                for block in self._blocks:
                    if function in block.members:
                        columns[e, f] = offset + block.column(function, self.elements)
                    offset += block.width
        return columns


def _families(functions: list[Function]) -> list[list[Function]]:
    """Radial and angular; element-resolved, summed, and summed with weights."""
    return [
        [f for f in functions if f.is_radial is radial and (f.is_summed, f.is_weighted) == sums]
        for radial in (True, False)
        for sums in ((False, False), (True, False), (True, True))
    ]


class _Block:
    """Sums of one family: every distinct set of parameters, for every channel of neighbouring elements."""

    def __init__(self, functions: list[Function], n_elements: int) -> None:
        self.members = frozenset(functions)
        self.forms = list(dict.fromkeys(_form(f) for f in functions))
        self.radial = functions[0].is_radial
        self.summed = functions[0].is_summed
        self.weighted = functions[0].is_weighted
        self.n_elements = n_elements
        self.cutoff = max(f.cutoff.radius for f in functions)
        resolved = n_elements if self.radial else n_elements * (n_elements + 1) // 2
        self.channels = 1 if self.summed else resolved
        self.width = self.channels * len(self.forms)

    def column(self, function: Function, elements: list[str]) -> int:
        channel = 0
        if not self.summed:
            index = sorted(elements.index(s) for s in function.neighbors)
            channel = index[0] if self.radial else _couple(index[0], index[1])
        return channel * len(self.forms) + self.forms.index(_form(function))

    def __call__(self, numbers: Tensor, element: Tensor, vectors: Tensor, r: Tensor, pairs: Pairs) -> Tensor:
        inside = torch.nonzero(r.detach() < self.cutoff).flatten()
        i, j, r = pairs.i[inside], pairs.j[inside], r[inside]
        if self.radial:
            values = torch.stack([_radial_term(form, r) for form in self.forms], 1)
            channel = element[j]
            weight = numbers[j]
        else:
            triples = triples_of(i)
            a, b = triples.a, triples.b
            values = self._angular_terms(vectors[inside], r, a, b)
            e_a, e_b = element[j[a]], element[j[b]]
            channel = _couple(torch.minimum(e_a, e_b), torch.maximum(e_a, e_b))
            weight = numbers[j[a]] * numbers[j[b]]
            i = i[a]
        if self.weighted:
            values = values * weight.to(values.dtype).unsqueeze(1)
        if self.summed:
            channel = torch.zeros_like(channel)
        n_atoms = numbers.shape[0]
        sums = values.new_zeros(n_atoms * self.channels, len(self.forms))
        return sums.index_add(0, i * self.channels + channel, values).view(n_atoms, self.width)

    def _angular_terms(self, vectors: Tensor, r: Tensor, a: Tensor, b: Tensor) -> Tensor:
        cosine = (vectors[a] * vectors[b]).sum(1) / (r[a] * r[b])
        r_ab = norm(vectors[b] - vectors[a])
        radial: dict[tuple[Any, ...], Tensor] = {}
        shape: dict[tuple[float, float], Tensor] = {}
        columns = []
        for form in self.forms:
            key = (form.is_narrow, form.cutoff, form.eta, form.r_s)
            if key not in radial:
                pair = terms.g2(r, form.eta, form.r_s, form.cutoff)
                radial[key] = pair[a] * pair[b]
                if form.is_narrow:
                    radial[key] = radial[key] * terms.g2(r_ab, form.eta, form.r_s, form.cutoff)
            angle = (form.zeta, form.lambda_)
            if angle not in shape:
                shape[angle] = terms.angular(cosine, *angle)
            columns.append(radial[key] * shape[angle])
        return torch.stack(columns, 1)


def _form(f: Function) -> Function:
    """The function without its elements: the same for all channels that share parameters."""
    neighbors = tuple("H" for _ in f.neighbors)
    return Function("H", f.kind, f.cutoff, neighbors, f.eta, f.r_s, f.kappa, f.zeta, f.lambda_)


def _couple(low: Any, high: Any) -> Any:
    """Index of an unordered couple of elements, low <= high."""
    return high * (high + 1) // 2 + low


def _radial_term(f: Function, r: Tensor) -> Tensor:
    if f.kind == "G1":
        return terms.g1(r, f.cutoff)
    if f.kind == "G3":
        return terms.g3(r, f.kappa, f.cutoff)
    return terms.g2(r, f.eta, f.r_s, f.cutoff)
