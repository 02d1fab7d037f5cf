"""Greedy selection of symmetry functions: it finds what was hidden, leaves groups out together, complains."""

import numpy as np
import pytest
import torch

from bp_descriptors.selection import select_functions

pytest.importorskip("sklearn")


def hidden(n: int = 300):
    """Ten columns of noise, in which column 7 tells a from the rest and column 2 b from c."""
    rng = np.random.default_rng(0)
    labels = np.array(["a", "b", "c"])[rng.integers(3, size=n)]
    G = rng.normal(size=(n, 10))
    G[:, 7] += 8.0 * (labels == "a")
    G[:, 2] += 8.0 * (labels == "b")
    G[:, 4] = 1.0
    return torch.as_tensor(G), labels.tolist()


def test_it_finds_what_tells_classes_apart() -> None:
    G, labels = hidden()
    found = select_functions(G, labels, range(len(labels)), most=2)
    assert sorted(found.columns) == [2, 7]
    assert 0.55 < found.accuracy[0] < 0.75
    assert found.accuracy[1] > 0.98
    assert found.classes == ("a", "b", "c")
    assert found.confusion.sum() == len(labels)
    assert select_functions(G, labels, range(len(labels)), 1, columns=[0, 1, 4]).columns != (4,)


def test_groups_are_left_out_together() -> None:
    """A column that only knows the group tells nothing of atoms of other groups."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(40), 10)
    labels = np.array(["a", "b"])[rng.permutation(40) % 2][groups]
    G = torch.as_tensor(rng.normal(size=40)[groups][:, None] + 1e-3 * rng.normal(size=(400, 1)))
    assert select_functions(G, labels.tolist(), groups.tolist(), 1).accuracy[0] < 0.75


def test_what_does_not_fit_is_named() -> None:
    G, labels = hidden()
    with pytest.raises(ValueError, match="a label and a group an atom"):
        select_functions(G, labels[1:], range(len(labels)))
    with pytest.raises(ValueError, match="two classes"):
        select_functions(G, ["a"] * len(labels), range(len(labels)))
