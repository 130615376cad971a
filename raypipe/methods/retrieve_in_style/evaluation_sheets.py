"""Pages to look at: what a face finds by each of its features (figures 7 and 12). N faces of the gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from raypipe.faces import to_signed
from raypipe.methods.retrieve_in_style.evaluation_search import Gallery
from raypipe.methods.retrieve_in_style.evaluation_systems import System
from raypipe.methods.retrieve_in_style.membership import POSE
from raypipe.report import Sheet, SheetRow

NEAREST, FURTHEST = 5, 2


def sheets(
    gallery: Gallery, images_NHW3: Tensor, systems: Sequence[System], features: Sequence[str], *, count: int
) -> Mapping[str, Sheet]:
    """A page for each of some queries, spread over all: a row for each feature and system. ``images``: uint8."""
    places = torch.linspace(0, len(gallery.queries) - 1, min(count, len(gallery.queries))).round().long()
    queries = gallery.queries[places].tolist()
    rows: dict[int, list[SheetRow]] = {query: [] for query in queries}
    for feature in features:
        for system in systems:
            if feature == POSE and system.fixed is not None:  # it has channels of its own in ours only
                continue
            vectors_NC = system.vectors(gallery.faces, feature)
            for query in queries:
                distances_N = (1 - vectors_NC @ vectors_NC[query]).cpu()
                rows[query].append(_row((feature, system.name), query, distances_N, gallery, images_NHW3))
    columns = ["query", "nearest", *(["next"] * (NEAREST - 1)), *(["furthest"] * FURTHEST)]
    note = "Under each its distance, 1 - cosine; * another picture of the same person."
    return {
        f"retrieval-{number}": Sheet(
            title=f"What a face finds by each of its features, query {number} of {len(queries)} (figures 7 and 12)",
            note=note,
            columns=columns,
            rows=some,
        )
        for number, some in enumerate(rows.values(), start=1)
    }


def _row(name: Sequence[str], query: int, distances_N: Tensor, gallery: Gallery, images_NHW3: Tensor) -> SheetRow:
    """The query itself is no result."""
    order = [face for face in distances_N.argsort(stable=True).tolist() if face != query]
    shown = [*order[:NEAREST], *reversed(order[-FURTHEST:])]
    is_same = gallery.people[shown] == gallery.people[query]
    captions = [
        f"{distances_N[face]:.2f}{' *' if same else ''}" for face, same in zip(shown, is_same.tolist(), strict=True)
    ]
    pictures = to_signed(images_NHW3[[query, *shown]].cpu())
    return SheetRow(name=name, pictures=pictures, captions=["", *captions])
