"""Search and edits: the paper's equations, and what must not change."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.backbones.stylegan2 import Generator, GeneratorConfig, generator_part, load_generator
from raypipe.contract import Query
from raypipe.errors import BadWeights, ModelMismatch, UnknownAttribute, WrongUsage
from raypipe.methods.sparse_directions import load
from raypipe.methods.sparse_directions.directions import Directions, directions_part, read_directions
from raypipe.methods.sparse_directions.distance import decompose
from raypipe.methods.sparse_directions.method import SparseDirections
from raypipe.methods.sparse_directions.orthogonal import nearest_orthonormal
from raypipe.weights import Part, open_bundle
from tests.methods.contract_checks import check_method
from tests.methods.sparse_directions_data import weighted_distance

NAMES = ("Smiling", "Eyeglasses", "Black_Hair")
SHAPE = (8, 16)


def some_directions() -> Directions:
    return Directions(
        attributes=NAMES,
        code_shape=SHAPE,
        vectors=nearest_orthonormal(torch.randn(3, 128, generator=torch.Generator().manual_seed(0))),
        biases=torch.tensor([0.1, -0.2, 0.3]),
        lowest=torch.tensor([-3.0, -1.0, 0.0]),
        highest=torch.tensor([5.0, 1.0, 2.0]),
        units=torch.tensor([4.0, 1.0, 0.5]),
    )


@pytest.fixture(scope="module")
def method(model: Path) -> SparseDirections:
    generator = open_bundle(str(model)).read("generator")
    return load({"sparse_directions": directions_part(some_directions()), "generator": generator}, "cpu")


@pytest.fixture(scope="module")
def codes() -> Tensor:
    return torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(1))


def query(adjust: dict[str, float] | None = None, prefer: dict[str, float] | None = None) -> Query:
    return Query(adjust=adjust or {}, prefer=prefer or {}, references={})


def test_it_keeps_the_contract(method: SparseDirections, codes: Tensor) -> None:
    check_method(method, {"image": torch.rand(5, 3, 32, 32), "w_plus": codes})


def test_attributes_and_rest_make_up_the_code(codes: Tensor) -> None:
    vectors = some_directions().vectors
    projections, rest = decompose(vectors, codes.flatten(1))
    torch.testing.assert_close(projections @ vectors + rest, codes.flatten(1))
    torch.testing.assert_close(rest @ vectors.T, torch.zeros(5, 3), rtol=0, atol=1e-5)


def test_without_preferences_the_distance_is_the_squared_one(codes: Tensor) -> None:
    flat = codes.flatten(1).double()
    projections, rest = decompose(some_directions().vectors.double(), flat)
    distances = weighted_distance(projections[0], rest[0], projections, rest, torch.ones(3))
    torch.testing.assert_close(distances, (flat - flat[0]).square().sum(1), rtol=1e-6, atol=1e-6)


def test_the_weighted_distance_is_equation_3(codes: Tensor) -> None:
    f, flat, p = some_directions().vectors.double().T, codes.flatten(1).double(), torch.tensor([0.0, 2.5, 100.0])
    projections, rest = decompose(f.T, flat)
    ours = weighted_distance(projections[1], rest[1], projections, rest, p)
    for w, distance in zip(flat, ours, strict=True):
        d_f = f.T @ (flat[1] - w)
        d_i = (torch.eye(128).double() - f @ f.T) @ (flat[1] - w)
        torch.testing.assert_close(distance, d_f @ torch.diag(p).double() @ d_f + d_i @ d_i)


def test_the_space_carries_equation_3(method: SparseDirections, codes: Tensor) -> None:
    columns = {"w_plus": codes, **method.represent({"w_plus": codes})}
    stored = method.search_vectors("w_plus", columns).double()
    asked = method.query("w_plus", {"w_plus": codes[:1]}, query({"Eyeglasses": 1.0}, {"Smiling": 9.0}))[0].double()
    space = method.spaces["w_plus"]
    weights = torch.ones(space.width).double()
    weights[space.coordinates.index("Smiling")] = 9.0
    projections, rest = decompose(some_directions().vectors.double(), codes.flatten(1).double())
    wanted = projections[0].clone()
    wanted[1] = 1.0  # the highest of the training faces
    expected = weighted_distance(wanted, rest[0], projections, rest, torch.tensor([9.0, 1.0, 1.0]))
    torch.testing.assert_close((weights * (asked - stored) ** 2).sum(1), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("space", ["w_plus", "attributes"])
def test_adjusting_replaces_just_the_named_projections(method: SparseDirections, codes: Tensor, space: str) -> None:
    columns = {"w_plus": codes, **method.represent({"w_plus": codes})}
    plain = method.search_vectors(space, columns)
    asked = method.query(space, columns, query({"Smiling": 0.25, "Black_Hair": 0.0}))
    assert torch.equal(method.query(space, columns, query()), plain)
    assert asked[:, 0].tolist() == [-1.0] * 5  # a quarter of the way from -3 to 5
    assert asked[:, 2].tolist() == [0.0] * 5
    others = [1, *range(3, plain.shape[1])]
    assert torch.equal(asked[:, others], plain[:, others])


@pytest.mark.parametrize("space", ["w_plus", "attributes"])
def test_moving_adds_to_just_the_named_projections(method: SparseDirections, codes: Tensor, space: str) -> None:
    columns = {"w_plus": codes, **method.represent({"w_plus": codes})}
    asked = method.query(space, columns, Query({"Smiling": 0.25}, {}, {}, {"Eyeglasses": -1.5}))
    expected = method.search_vectors(space, columns).clone()
    expected[:, 0] = -1.0
    expected[:, 1] -= 1.5
    assert torch.equal(asked, expected)


def test_the_adjusted_face_is_the_one_that_is_looked_for(method: SparseDirections, codes: Tensor) -> None:
    wish = Query({"Smiling": 0.9}, {"Black_Hair": 3.0}, {}, {"Eyeglasses": 2.0})
    found = method.search_vectors("w_plus", method.adjusted({"w_plus": codes}, wish))
    torch.testing.assert_close(found, method.query("w_plus", {"w_plus": codes}, wish), rtol=0, atol=1e-5)
    assert torch.equal(method.adjusted({"w_plus": codes}, query(prefer={"Smiling": 9.0}))["w_plus"], codes)


@pytest.mark.parametrize(
    "wish", [Query({"Smiling": 1.0}, {}, {}, {"Smiling": 1.0}), Query({}, {}, {}, {"Smiling": math.nan})]
)
def test_what_cannot_be_meant_by_moving(method: SparseDirections, codes: Tensor, wish: Query) -> None:
    with pytest.raises(WrongUsage, match=r"adjusted and moved|displacement nan"):
        method.query("w_plus", {"w_plus": codes}, wish)
    with pytest.raises(UnknownAttribute, match="Hat"):
        method.adjusted({"w_plus": codes}, Query({}, {}, {}, {"Hat": 1.0}))


def test_an_edit_moves_its_own_projection_only(method: SparseDirections, codes: Tensor) -> None:
    before = {"w_plus": codes, **method.represent({"w_plus": codes})}
    after = method.edit(before, [Edit("Smiling", 0.5)])
    moved = method.search_vectors("w_plus", after) - method.search_vectors("w_plus", before)
    expected = torch.zeros(5, 131)
    expected[:, 0] = 0.5 * 4.0  # the unit of Smiling is 4
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(after["attribute_projections"], before["attribute_projections"] + expected[:, :3])


def test_the_order_of_edits_does_not_matter_at_all(method: SparseDirections, codes: Tensor) -> None:
    edits = [Edit("Smiling", 0.1), Edit("Eyeglasses", -1.3), Edit("Smiling", 0.7), Edit("Smiling", 1e-9)]
    first, *others = (method.edit({"w_plus": codes}, order)["w_plus"] for order in itertools.permutations(edits))
    assert all(torch.equal(other, first) for other in others)


def test_no_edit_and_an_edit_taken_back_change_nothing(method: SparseDirections, codes: Tensor) -> None:
    columns = {"w_plus": codes}
    assert torch.equal(method.edit(columns, [])["w_plus"], codes)
    for edits in ([Edit("Smiling", 0.0)], [Edit("Smiling", 0.3), Edit("Smiling", -0.3)]):
        assert torch.equal(method.edit(columns, edits)["w_plus"], codes)


def test_a_rendered_code_is_the_generators_picture_each_time(
    method: SparseDirections, codes: Tensor, model: Path
) -> None:
    generator = load_generator(open_bundle(str(model)).read("generator"), "cpu")
    source = torch.zeros(5, 3, 32, 32)
    picture = method.render({"w_plus": codes}, source)
    assert torch.equal(picture, generator.synthesis(codes).clamp(-1, 1))
    assert torch.equal(picture, method.render({"w_plus": codes}, source + 1))
    assert not torch.equal(picture, method.render(method.edit({"w_plus": codes}, [Edit("Smiling", 3.0)]), source))


def test_half_precision_codes_are_taken(method: SparseDirections, codes: Tensor) -> None:
    stored = {"w_plus": codes.half()}
    assert method.search_vectors("w_plus", stored).dtype == torch.float32
    assert method.edit(stored, [Edit("Smiling", 1.0)])["w_plus"].dtype == torch.float32


@pytest.mark.parametrize("asked", [query(adjust={"Halo": 1.0}), query(prefer={"Halo": 1.0})])
def test_an_unknown_attribute_is_named(method: SparseDirections, codes: Tensor, asked: Query) -> None:
    with pytest.raises(UnknownAttribute, match="Halo: unknown; this method has: Smiling, Eyeglasses, Black_Hair"):
        method.query("w_plus", {"w_plus": codes}, asked)
    with pytest.raises(UnknownAttribute, match="Halo"):
        method.edit({"w_plus": codes}, [Edit("Smiling", 1.0), Edit("Halo", 1.0)])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (query({"Smiling": 1.01}), "adjustment 1.01 of 'Smiling' must be a finite number from 0 to 1"),
        (query({"Smiling": -0.01}), "adjustment -0.01"),
        (query({"Smiling": math.nan}), "adjustment nan"),
        (query(prefer={"Smiling": 1000.5}), "preference 1000.5 of 'Smiling' must be a finite number from 0 to 1000"),
        (query(prefer={"Smiling": -1.0}), "preference -1.0"),
        (query(prefer={"Smiling": math.inf}), "preference inf"),
        (Query({}, {}, {"eyes": {}}), "no reference faces, got some for: eyes"),
    ],
)
def test_a_query_that_cannot_be_meant_is_named(
    method: SparseDirections, codes: Tensor, asked: Query, told: str
) -> None:
    with pytest.raises(WrongUsage, match=told):
        method.query("w_plus", {"w_plus": codes}, asked)


def test_bad_columns_are_named(method: SparseDirections, codes: Tensor) -> None:
    broken = codes.clone()
    broken[3, 0, 0] = torch.inf
    for columns, told in (
        ({"image": codes}, "no column 'w_plus'; there are: image"),
        ({"w_plus": codes[:, :7]}, r"w_plus must be \[n, 8, 16\], got \[5, 7, 16\]"),
        ({"w_plus": broken}, "w_plus is not finite in row 3"),
    ):
        with pytest.raises(WrongUsage, match=told):
            method.search_vectors("w_plus", columns)
    with pytest.raises(WrongUsage, match="no column 'attribute_projections'"):
        method.search_vectors("attributes", {"w_plus": codes})
    with pytest.raises(WrongUsage, match="'identity' is not a space of this method; spaces: w_plus, attributes"):
        method.search_vectors("identity", {"w_plus": codes})
    with pytest.raises(WrongUsage, match="strength nan of 'Smiling'"):
        method.edit({"w_plus": codes}, [Edit("Smiling", math.nan)])


def test_a_broken_face_leaves_the_others_alone(method: SparseDirections, codes: Tensor) -> None:
    broken = codes.clone()
    broken[3, 0, 0] = torch.nan
    projections = method.represent({"w_plus": broken})["attribute_projections"]
    expected = method.represent({"w_plus": codes})["attribute_projections"]
    assert torch.isnan(projections[3]).all()
    others = [0, 1, 2, 4]
    assert torch.equal(projections[others], expected[others])


def test_another_generators_directions_are_refused() -> None:
    smaller = Generator(GeneratorConfig(size=16, style_dim=16, z_dim=16, mapping_layers=1, channels=(8, 8, 8)))
    with pytest.raises(ModelMismatch, match=r"codes of \(8, 16\), but the generator's are \(6, 16\)"):
        load({"sparse_directions": directions_part(some_directions()), "generator": generator_part(smaller)}, "cpu")


def test_directions_survive_being_stored() -> None:
    directions = some_directions()
    read = read_directions(directions_part(directions))
    assert (read.attributes, read.code_shape) == (directions.attributes, directions.code_shape)
    for name in ("vectors", "biases", "lowest", "highest", "units"):
        assert torch.equal(getattr(read, name), getattr(directions, name))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"vectors": torch.ones(3, 128)}, "not orthonormal"),
        ({"vectors": torch.eye(3, 100)}, r"vectors is \[3, 100\] instead of \[3, 128\]"),
        ({"biases": torch.tensor([0, 0, torch.nan])}, "not finite"),
        ({"lowest": torch.full((3,), 9.0)}, "a range ends before it begins"),
        ({"units": torch.zeros(3)}, "a unit is not above 0"),
        ({"attributes": ("a", "b", "a")}, "named twice"),
    ],
)
def test_directions_that_cannot_be_meant_are_refused(changed: dict[str, object], told: str) -> None:
    with pytest.raises(BadWeights, match=told):
        read_directions(directions_part(dataclasses.replace(some_directions(), **changed)))  # type: ignore[arg-type]


def test_other_parts_are_refused() -> None:
    part = directions_part(some_directions())
    with pytest.raises(BadWeights, match="'stylegan2' is not 'sparse_directions'"):
        read_directions(Part("stylegan2", part.config, part.tensors))
    with pytest.raises(BadWeights, match="num_layers"):
        read_directions(Part(part.kind, {"attributes": ["a"]}, part.tensors))
    with pytest.raises(BadWeights, match="biases"):
        read_directions(Part(part.kind, part.config, {"vectors": part.tensors["vectors"]}))
