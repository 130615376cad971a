"""What L2M-GAN minimises beside the adversarial loss. Every loss is a mean over faces, and over pixels or numbers of a
vector: the paper does not say so, but it stands on StarGAN v2, whose losses are.

Source: Yang et al. 2021 (L2M-GAN), equations 3 to 6 and the variants of table 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor


def distance(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference: equation 3 of pictures, 4 of styles, 5 of perceptual features."""
    return (made.float() - wanted.float()).abs().mean()


def orthogonality_l1(unrelated_ND: Tensor, related_ND: Tensor, transformed_ND: Tensor) -> Tensor:
    """Equation 6: |s_re * s_un| + |s~_re * s_un|, products by element."""
    return (related_ND * unrelated_ND).abs().mean() + (transformed_ND * unrelated_ND).abs().mean()


def orthogonality_inner(unrelated_ND: Tensor, related_ND: Tensor, transformed_ND: Tensor) -> Tensor:
    """Inner products instead, by their magnitude: what has the same sum of products has the same loss."""
    return _inner(related_ND, unrelated_ND) + _inner(transformed_ND, unrelated_ND)


def orthogonality_single(unrelated_ND: Tensor, related_ND: Tensor, transformed_ND: Tensor) -> Tensor:
    """The first of the two inner products alone: nothing is asked of the transformed style."""
    return _inner(related_ND, unrelated_ND)


ORTHOGONALITY: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "l1": orthogonality_l1,
    "inner": orthogonality_inner,
    "single": orthogonality_single,
}
"""By the names of table 3."""


def _inner(these_ND: Tensor, those_ND: Tensor) -> Tensor:
    """The inner product over D, so that it is at most what ``orthogonality_l1`` makes of the same."""
    return (these_ND * those_ND).mean(1).abs().mean()
