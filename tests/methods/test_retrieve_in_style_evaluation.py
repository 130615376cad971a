"""The evaluation's measures, and a whole evaluation of a tiny model."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from raypipe.backbones.psp import encoder_part
from raypipe.backbones.stylegan2 import generator_part
from raypipe.contract import Faces
from raypipe.errors import WrongUsage
from raypipe.faces import to_pixels
from raypipe.methods.retrieve_in_style.catalogue import read_catalogue
from raypipe.methods.retrieve_in_style.evaluation import EvaluationConfig, evaluate
from raypipe.methods.retrieve_in_style.evaluation_fidelity import fidelity, mixed
from raypipe.methods.retrieve_in_style.evaluation_search import (
    Gallery,
    found,
    kept_by_storage,
    lists,
    overlaps_of_people,
)
from raypipe.methods.retrieve_in_style.evaluation_sheets import sheets
from raypipe.methods.retrieve_in_style.evaluation_systems import EIS, RIS, RIS_CODE, WHOLE, System, systems_of
from raypipe.methods.retrieve_in_style.evaluation_transfers import changes, draw_pairs, strips
from raypipe.methods.retrieve_in_style.lens import FacesSeen, GeneratorView, Lens
from raypipe.methods.retrieve_in_style.submembership import intersection_ratio
from raypipe.weights import Part
from tests.methods.retrieve_in_style_data import codes, tiny_encoder, tiny_generator, trained_part

NAMES = ("Narrow_Eyes", "Smiling", "Bald", "Male")
FEATURES = ("eyes", "mouth", "hair")
CONFIG = EvaluationConfig(
    queries=30, results=2, people_queries=10, people_results=3, eis_faces=8, pairs=3, groups=(2, 4), sheets=2
)


@pytest.fixture(scope="module")
def parts() -> dict[str, Part]:
    generator, encoder = generator_part(tiny_generator()), encoder_part(tiny_encoder())
    return {"retrieve_in_style": trained_part(), "generator": generator, "encoder": encoder}


@pytest.fixture(scope="module")
def systems(parts: dict[str, Part]) -> dict[str, System]:
    with torch.no_grad():
        view, lens = opened(parts)
        many = lens.see(view.styles(codes(8)))
        catalogue = read_catalogue(parts["retrieve_in_style"])
        compared = systems_of(catalogue, view.layout, many, least=0.1, share=0.1, coarse_share=0.1)
    return {system.name: system for system in compared}


def opened(parts: dict[str, Part]) -> tuple[GeneratorView, Lens]:
    catalogue, generator = read_catalogue(parts["retrieve_in_style"]), tiny_generator().requires_grad_(False)
    view = GeneratorView(generator, entry=catalogue.grounds.entry, squared=catalogue.variant.squared)
    return view, Lens(view, catalogue.centres, catalogue.features, catalogue.variant)


def gallery(faces: FacesSeen, *, queries: int = 30) -> Gallery:
    random = torch.Generator().manual_seed(0)
    rows = len(faces.styles)
    labels = (torch.rand(rows, len(NAMES), generator=random) > 0.5).float()
    return Gallery(faces, torch.randint(0, 12, (rows,), generator=random), labels, NAMES, torch.arange(queries))


def seen(parts: dict[str, Part], rows: int = 60) -> FacesSeen:
    view, lens = opened(parts)
    return lens.see(view.styles(codes(rows)))


def test_results_are_the_nearest_by_cosine_without_the_query(parts: dict[str, Part]) -> None:
    some = gallery(seen(parts))
    vectors = torch.randn(60, 5, generator=torch.Generator().manual_seed(1))
    results = found(some, vectors, 4)
    for query, row in enumerate(results.tolist()):
        cosines = torch.cosine_similarity(vectors[query][None], vectors)
        others = sorted((face for face in range(60) if face != query), key=lambda face: -cosines[face])
        assert row == others[:4]


def test_the_paper_and_the_code_are_told_apart_and_whole_styles_are_alike_for_every_feature(
    parts: dict[str, Part], systems: dict[str, System]
) -> None:
    faces = seen(parts)
    by_name = {name: [system.vectors(faces, feature) for feature in FEATURES] for name, system in systems.items()}
    assert not torch.allclose(by_name[RIS][0], by_name[RIS_CODE][0])
    assert all(torch.equal(one, by_name[WHOLE][0]) for one in by_name[WHOLE])
    fixed = systems[EIS].fixed
    assert fixed is not None
    assert 0 < fixed.sum() < fixed.numel()
    assert (by_name[EIS][0][:, fixed[0] == 0] == 0).all(), "the channels of eyes, and no other"


def test_two_features_that_find_the_same_overlap_wholly(parts: dict[str, Part], systems: dict[str, System]) -> None:
    some = gallery(seen(parts))
    whole = lists(some, systems[WHOLE], FEATURES, 3)
    assert (overlaps_of_people(some, whole, 10) == 1).all()
    ours = overlaps_of_people(some, lists(some, systems[RIS], FEATURES, 3), 10)
    assert ours.shape == (10 * len(list(combinations(FEATURES, 2))),)
    assert ours.mean() < 1


def test_chance_is_the_mean_over_all_pairs(parts: dict[str, Part]) -> None:
    some = gallery(seen(parts))
    column = some.labels[:, NAMES.index("Smiling")].tolist()
    agreeing = [float(column[i] == column[j]) for i in range(60) for j in range(60) if i != j]
    assert some.chance("mouth") == pytest.approx(sum(agreeing) / len(agreeing))


def test_results_of_the_same_person_are_counted(parts: dict[str, Part]) -> None:
    some = gallery(seen(parts), queries=3)
    row = [int((some.people == some.people[query]).nonzero()[-1]) for query in range(3)]
    stranger = [int((some.people != some.people[query]).nonzero()[0]) for query in range(3)]
    assert some.of_the_same_person(torch.tensor([row, stranger]).T) == 0.5
    assert some.of_the_same_person(torch.tensor([stranger, stranger]).T) == 0.0


def test_as_many_axes_as_faces_lose_nothing(parts: dict[str, Part]) -> None:
    part = trained_part(width=99, axes_faces=24)
    with torch.no_grad():
        view, lens = opened({**parts, "retrieve_in_style": part})
        faces = lens.see(view.styles(codes(24)))
        system = System(RIS, read_catalogue(part), view.layout)
        kept = kept_by_storage(gallery(faces, queries=24), system, "eyes", 3)
    assert (kept.same, kept.among_five_times) == (1.0, 1.0)


def test_transfers_are_compared_with_the_faces_as_the_generator_has_them(
    parts: dict[str, Part], systems: dict[str, System]
) -> None:
    """By the pixels themselves: of the generator's own pictures the distance without a transfer is 0."""
    with torch.no_grad():
        view, lens = opened(parts)
        faces = lens.see(view.styles(codes(12)))
        own = to_pixels(view.picture(faces.styles))

        def corners(pictures: Tensor) -> Tensor:
            return pictures[:, :, ::31, ::31].flatten(1)

        found = fidelity(view, [systems[RIS]], faces, torch.from_numpy(own), corners, features=FEATURES, strength=1.0)
        styles = mixed(systems[RIS], faces, FEATURES, 1.0)
        expected = systems[RIS].transferred(rows_of(faces, 4), rows_of(faces, 10), "mouth", 1.0)
    assert abs(found["no transfer"]) < 1e-3
    assert found[RIS] > 10 * abs(found["no transfer"])
    torch.testing.assert_close(styles[4:5], expected)


def rows_of(faces: FacesSeen, row: int) -> FacesSeen:
    some = slice(row, row + 1)
    return FacesSeen(faces.styles[some], faces.contributions[some], faces.is_there[some])


def test_changes_are_counted_inside_and_outside(parts: dict[str, Part], systems: dict[str, System]) -> None:
    with torch.no_grad():
        view, lens = opened(parts)
        pairs = draw_pairs(view, lens, tiny_encoder().requires_grad_(False), pairs=3)
        itself = FacesSeen(pairs.sources.styles, pairs.sources.contributions, pairs.sources.is_there)
        same = type(pairs)(pairs.sources, itself, pairs.areas, pairs.pictures)
        for change in changes(view, systems[RIS], same, FEATURES).values():
            assert max(change.inside, change.outside) < 1e-6, "a face gets its own features"
        everything = type(pairs)(pairs.sources, pairs.references, torch.ones_like(pairs.areas), pairs.pictures)
        change = changes(view, systems[RIS], everything, FEATURES)["hair"]
        assert change.inside > 1e-4
        assert change.outside == 0.0
        drawn = strips(view, systems[RIS], pairs, FEATURES, side=16)
    assert drawn.shape == (3, 6, 3, 16, 16)


def test_a_sheet_shows_the_query_the_nearest_and_the_furthest_of_each_feature(
    parts: dict[str, Part], systems: dict[str, System]
) -> None:
    """Every face's picture is its number, so that pictures tell who was found."""
    some = gallery(seen(parts))
    images = torch.arange(60, dtype=torch.uint8)[:, None, None, None].expand(60, 4, 4, 3)
    pages = sheets(some, images, [systems[RIS], systems[EIS]], ("eyes", "pose"), count=2)
    assert list(pages) == ["retrieval-1", "retrieval-2"]
    page = pages["retrieval-2"]
    assert [tuple(row.name) for row in page.rows] == [("eyes", RIS), ("eyes", EIS), ("pose", RIS)]
    for row, system in zip(page.rows[:2], (systems[RIS], systems[EIS]), strict=True):
        shown = to_pixels(row.pictures)[:, 0, 0, 0].tolist()
        vectors = system.vectors(some.faces, "eyes")
        distances = 1 - vectors @ vectors[29]
        order = [face for face in distances.argsort(stable=True).tolist() if face != 29]
        assert shown == [29, *order[:5], order[-1], order[-2]]
        assert len(row.captions) == len(page.columns) == len(shown)
        assert row.captions[0] == ""
        for face, caption in zip(shown[1:], row.captions[1:], strict=True):
            assert float(caption.removesuffix(" *")) == pytest.approx(float(distances[face]), abs=0.006)
            assert caption.endswith("*") == bool(some.people[face] == some.people[29])


def test_a_whole_evaluation(parts: dict[str, Part]) -> None:
    random = torch.Generator().manual_seed(0)

    def columns(rows: int, seed: int) -> dict[str, Tensor]:
        labels = (torch.rand(rows, len(NAMES), generator=random) > 0.5).float()
        people = torch.randint(0, 9, (rows,), generator=random)
        images = torch.randint(0, 256, (rows, 32, 32, 3), generator=random, dtype=torch.uint8)
        return {"w_plus": codes(rows, seed=seed), "labels": labels, "identity": people, "image": images}

    faces = Faces(NAMES, columns(10, 1), columns(4, 2), columns(40, 3))
    report = evaluate(CONFIG, faces, parts, torch.device("cpu"))
    assert list(report.tables[0].columns[1:]) == list(FEATURES)
    assert all(0 <= cell <= 100 for row in report.tables[0].rows for cell in row[1:] if isinstance(cell, float))
    assert len(report.claims) == 3 * len(FEATURES) + 1
    assert report.pictures["transfers"].shape[:2] == (4, 6)
    assert list(report.sheets) == ["retrieval-1", "retrieval-2"]
    again = evaluate(CONFIG, faces, parts, torch.device("cpu"))
    assert again.tables == report.tables
    few = Faces(NAMES, columns(10, 1), columns(4, 2), columns(15, 3))
    with pytest.raises(WrongUsage, match="more than 15 faces"):
        evaluate(CONFIG, few, parts, torch.device("cpu"))
    with pytest.raises(WrongUsage, match="no retrieve_in_style among the models"):
        evaluate(CONFIG, faces, {"generator": parts["generator"], "encoder": parts["encoder"]}, torch.device("cpu"))


def test_faces_that_use_other_channels_share_none_and_equal_ones_all() -> None:
    random = torch.Generator().manual_seed(0)
    noise = 0.01 * torch.rand(60, 20, generator=random)
    groups = torch.arange(60) % 3
    own = noise + torch.nn.functional.one_hot(groups, 3).repeat_interleave(4, dim=1).float() @ torch.eye(12, 20)
    assert intersection_ratio(own, clusters=3, top=4, seed=0) == 0.0
    shared = own + 2 * torch.eye(20)[15]
    assert intersection_ratio(shared, clusters=3, top=5, seed=0) == pytest.approx(1 / 5)
    alike = noise + torch.linspace(1, 0, 20)
    assert intersection_ratio(alike, clusters=4, top=6, seed=0) == 1.0
