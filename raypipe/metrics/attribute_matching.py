"""Attribute matching score: do faces found by a feature agree with the query in that feature's attributes?

Source: Chong, Chu and Kumar, Retrieve in Style, ICCV 2021, section 4.2; the attributes of each feature: its table 3.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from raypipe.errors import WrongUsage

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "eyes": ("Arched_Eyebrows", "Bags_Under_Eyes", "Bushy_Eyebrows", "Narrow_Eyes"),
    "nose": ("Big_Nose", "Pointy_Nose"),
    "mouth": (
        "5_o_Clock_Shadow",
        "Big_Lips",
        "Goatee",
        "Mouth_Slightly_Open",
        "Mustache",
        "No_Beard",
        "Smiling",
        "Wearing_Lipstick",
    ),
    "hair": (
        "Bald",
        "Bangs",
        "Black_Hair",
        "Blond_Hair",
        "Brown_Hair",
        "Gray_Hair",
        "Receding_Hairline",
        "Sideburns",
        "Straight_Hair",
        "Wavy_Hair",
    ),
}
"""CelebA's attributes by feature. The paper has none for pose."""


def attribute_matching_score(queries: Tensor, results: Tensor) -> Tensor:
    """The share of attributes in which results agree with their query, for each query.

    Args:
        queries: labels of one feature's attributes, 0 and 1 (or a classifier's decisions), [q,A].
        results: the same of what was found, [q,k,A].

    Returns:
        [q] float64 in [0,1]; the paper's score, in percent, is their mean.

    Raises:
        WrongUsage: shapes that do not belong together, or nothing to compare.
    """
    if results.ndim != 3 or queries.shape != (results.shape[0], results.shape[2]):
        raise WrongUsage(f"queries [q,A] and results [q,k,A], got {list(queries.shape)} and {list(results.shape)}")
    if 0 in results.shape[1:]:
        raise WrongUsage(f"{results.shape[1]} results and {results.shape[2]} attributes: there is nothing to compare")
    return (queries[:, None] == results).double().mean((1, 2))
