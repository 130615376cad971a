"""Mixtures of what attributes become: their weights, and what they reach."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.backbones.stargan2 import Domains
from raypipe.backbones.stargan2.moves import Mixture, Values, adjusted, edited, strengths_of, with_values
from raypipe.errors import UnknownAttribute, WrongUsage

THREE = Domains(("Smiling", "Male", "Young"))


def weights(mixture: Mixture) -> dict[tuple[tuple[int, float], ...], float]:
    return {tuple(values.items()): weight for values, weight in mixture.corners}


def test_one_attribute_is_on_the_line_between_what_is_and_what_is_asked() -> None:
    for strength in (0.25, 1.5, -0.75):
        told, target = weights(edited({1: strength})), float(strength > 0)
        assert told == {(): 1 - abs(strength), ((1, target),): abs(strength)}
    assert edited({1: 0.25}).reached == {}
    assert edited({1: -0.75}).reached == {1: 0.0}


def test_whole_strengths_are_the_combination_alone() -> None:
    assert weights(edited({0: 1.0, 2: -1.0})) == {((0, 1.0), (2, 0.0)): 1.0}
    assert weights(adjusted({0: 1.0, 2: 0.0})) == {((0, 1.0), (2, 0.0)): 1.0}


@given(st.dictionaries(st.integers(0, 3), st.floats(-3, 3).filter(bool), min_size=1))
def test_weights_of_edits_add_up_to_one(strengths: dict[int, float]) -> None:
    assert sum(weights(edited(strengths)).values()) == pytest.approx(1, abs=1e-9)


@given(st.dictionaries(st.integers(0, 3), st.floats(0, 1), min_size=1))
def test_an_adjustment_of_what_is_linear_is_exact(wanted: dict[int, float]) -> None:
    """Where corners give a sum over attributes, the mixture gives the sum at the places that were asked for."""

    def at(values: Values) -> Tensor:
        return torch.tensor([sum((place + 1) * value for place, value in values.items())], dtype=torch.float64)

    assert float(adjusted(wanted).of(at)) == pytest.approx(sum((place + 1) * value for place, value in wanted.items()))
    assert adjusted(wanted).reached == {place: float(value >= 0.5) for place, value in wanted.items()}


def test_strengths_add_up_in_any_order() -> None:
    asked = [Edit("Young", 0.1), Edit("Smiling", 1.0), Edit("Young", 0.2), Edit("Young", 0.3), Edit("Male", 0.0)]
    for order in permutations(asked):
        found = strengths_of(order, THREE)
        assert list(found.items()) == [(0, 1.0), (2, 0.6)]
    assert strengths_of([Edit("Male", 0.5), Edit("Male", -0.5)], THREE) == {}


def test_strengths_that_cannot_be_are_named() -> None:
    with pytest.raises(UnknownAttribute, match="'Hat' is not an attribute of this model; it has: Smiling, Male, Young"):
        strengths_of([Edit("Hat", 1.0)], THREE)
    with pytest.raises(WrongUsage, match="strength inf of 'Male' must be a finite number"):
        strengths_of([Edit("Male", float("inf"))], THREE)


def test_values_are_changed_for_all_faces_and_not_in_place() -> None:
    values = torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    assert with_values(values, {0: 1.0, 1: 0.0}).tolist() == [[1, 0, 0], [1, 0, 1]]
    assert values.tolist() == [[0, 1, 0], [1, 1, 1]]
