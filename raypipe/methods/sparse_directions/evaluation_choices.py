"""What the paper leaves open, and what was chosen."""

from __future__ import annotations

from collections.abc import Sequence

from raypipe.methods.sparse_directions.evaluation_results import Results


def choices(results: Results) -> Sequence[str]:
    """A sentence or two for each."""
    train, validation, test = results.faces
    return (
        (
            f"Faces: {train:,} to fit with, {validation:,} to choose lambda, {test:,} as the gallery, from which "
            f"the {len(results.queries.rows):,} queries are drawn. A query's own face cannot be found; other pictures "
            "of the same person can."
        ),
        (
            f"Attributes: {len(results.attributes)}, those that enough faces have and lack: "
            f"{', '.join(results.attributes)}."
        ),
        (
            "Adjustment: for each query one attribute, drawn evenly from all, is turned to its opposite. Its target is "
            "T(0) or T(1), the end of the training faces' range; all other attributes keep their own projections."
        ),
        (
            "nDCG: gain 1 for a face that shows the adjusted attribute as wanted, discount 1/log2(place + 1), ideal: "
            "the best list that the gallery could give. The same tables with the share of agreeing attributes as gain "
            "are reported apart."
        ),
        "Identity similarity: mean cosine between the query's face, as it is, and the faces found.",
        (
            f"Preference of the adjusted attribute: {len(results.grid)} values, 0 and from {results.grid[1]:.3g} to "
            f"{results.grid[-1]:g}; all others are 1."
        ),
        (
            f"Identity constrained: each query's best nDCG among preferences whose list has at least the identity "
            f"similarity of the list without adjustment, less {results.tolerance:g}; the paper takes its best "
            "compositional method's, which is not reimplemented here. Both methods must reach the same for each query."
        ),
        (
            "Best nDCG: of several preferences that reach it, the one with the most similar faces. Best nDCG and "
            "identity constrained use the labels of what was found, as in the paper: they say what a user could reach."
        ),
        (
            "InterFaceGAN: support vector machines in W+ (C = 1), each attribute's direction orthogonalised against "
            "those before it, in the attributes' order, so that distances decompose. Labels of 0 and 1 have no "
            f"extremes: any faces of each kind are taken, at most {results.interfacegan_share:.3g} of all, and 30 % of "
            "them are held back, as in its own code. Ours see all faces: the "
            "directions fitted one by one tell what that alone makes."
        ),
        (
            f"Lambda: of {', '.join(f'{sparsity:g}' for sparsity in results.ours)} the one with the highest nDCG, "
            "identity constrained, of searches among the validation faces; their errors are told beside it."
        ),
    )
