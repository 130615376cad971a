"""Search by features and transfers through the contract, with a tiny generator and a catalogue of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.attributes import Edit
from raypipe.backbones.stylegan2 import generator_part
from raypipe.contract import Query
from raypipe.errors import ModelMismatch, UnknownAttribute, WrongUsage
from raypipe.methods.retrieve_in_style import load
from raypipe.methods.retrieve_in_style.config import PUBLIC_CODE, Variant
from raypipe.methods.retrieve_in_style.method import RetrieveInStyle
from raypipe.methods.retrieve_in_style.styles import styles_of
from raypipe.pipeline.loading import load_method, methods_of
from raypipe.weights import Part, open_bundle
from tests.methods.contract_checks import check_method
from tests.methods.retrieve_in_style_data import codes, tiny_generator, trained_part

NOTHING = Query(adjust={}, prefer={}, references={})
SPACES = ("eyes", "mouth", "hair", "pose")


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def generator() -> Part:
    return generator_part(tiny_generator())


@pytest.fixture(scope="module")
def method(generator: Part) -> RetrieveInStyle:
    return load({"retrieve_in_style": trained_part(), "generator": generator}, "cpu")


def with_columns(method: RetrieveInStyle, w_plus: Tensor) -> dict[str, Tensor]:
    return {"w_plus": w_plus, **method.represent({"w_plus": w_plus})}


def references(*, seed: int = 7) -> dict[str, Tensor]:
    return {"w_plus": codes(1, seed=seed)}


@pytest.mark.parametrize("variant", [Variant(), PUBLIC_CODE, Variant(by_channel=True)])
def test_it_keeps_the_contract(generator: Part, variant: Variant) -> None:
    method = load({"retrieve_in_style": trained_part(variant=variant), "generator": generator}, "cpu")
    check_method(method, {"image": torch.rand(3, 3, 32, 32) * 2 - 1, "w_plus": codes(3)})
    assert tuple(method.spaces) == SPACES
    assert method.features == ("eyes", "hair", "background", "mouth", "pose")


def test_a_model_without_a_catalogue_does_not_offer_it() -> None:
    bundle = open_bundle("small")
    if "retrieve_in_style" in bundle.parts:
        pytest.skip("the shipped model has a catalogue")
    assert "retrieve_in_style" not in methods_of(bundle)
    with pytest.raises(Exception, match="has no 'retrieve_in_style' part"):
        load_method("retrieve_in_style", bundle, "cpu")


def test_what_is_stored_is_small_and_of_each_face_alone(method: RetrieveInStyle) -> None:
    together = method.represent({"w_plus": codes(4)})["feature_styles"]
    assert together.shape == (4, len(SPACES), 5)
    for row in range(4):
        alone = method.represent({"w_plus": codes(4)[row : row + 1]})["feature_styles"][0]
        torch.testing.assert_close(alone, together[row], rtol=1e-4, atol=1e-5)


def test_a_broken_code_stays_in_its_row(method: RetrieveInStyle) -> None:
    w_plus = codes(3)
    w_plus[1, 2, 0] = torch.nan
    stored = method.represent({"w_plus": w_plus})["feature_styles"]
    assert not torch.isfinite(stored[1]).all()
    torch.testing.assert_close(stored[[0, 2]], method.represent({"w_plus": codes(3)})["feature_styles"][[0, 2]])
    with pytest.raises(WrongUsage, match="feature_styles is not finite in row 1"):
        method.search_vectors("eyes", {"feature_styles": stored})


def test_search_vectors_compare_as_the_whole_vectors_where_axes_are_all(generator: Part) -> None:
    """With as many axes as faces that they are fitted to, these faces lose nothing."""
    part = trained_part(width=99, axes_faces=24)
    method = load({"retrieve_in_style": part, "generator": generator}, "cpu")
    columns = with_columns(method, codes(24))
    whole = method.full_vectors(codes(24))
    for number, space in enumerate(SPACES):
        vectors = method.search_vectors(space, columns)
        unit = F.normalize(whole[:, number], dim=1)
        torch.testing.assert_close(vectors @ vectors.T, unit @ unit.T, rtol=0, atol=1e-5)
        assert torch.equal(method.query(space, columns, NOTHING), vectors)
        comparable = method.whole_vectors(space, {"w_plus": codes(24)})
        assert comparable.shape[1] > vectors.shape[1]
        torch.testing.assert_close(comparable @ comparable.T, unit @ unit.T, rtol=0, atol=1e-5)


def test_whole_vectors_are_of_a_space_and_of_codes(method: RetrieveInStyle) -> None:
    with pytest.raises(WrongUsage, match="'chin' is not a space of this method"):
        method.whole_vectors("chin", {"w_plus": codes(2)})
    with pytest.raises(WrongUsage, match="there is no column 'w_plus'"):
        method.whole_vectors("eyes", {"feature_styles": torch.zeros(2, 5, 4)})


def test_faces_without_a_feature_are_like_each_other_and_unlike_the_rest(method: RetrieveInStyle) -> None:
    columns = with_columns(method, codes(3))
    columns["feature_styles"][:2, SPACES.index("mouth")] = 0
    vectors = method.search_vectors("mouth", columns)
    torch.testing.assert_close(vectors @ vectors.T, torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]))


def test_a_reference_takes_the_faces_place_in_its_own_space_only(method: RetrieveInStyle) -> None:
    face, other = with_columns(method, codes(2)), with_columns(method, codes(1, seed=5))
    asked = Query(adjust={}, prefer={}, references={"eyes": other})
    assert torch.equal(method.query("eyes", face, asked), method.search_vectors("eyes", other).expand(2, -1))
    assert torch.equal(method.query("hair", face, asked), method.search_vectors("hair", face))


def test_strength_zero_gives_the_same_picture_bit_for_bit(method: RetrieveInStyle) -> None:
    face = with_columns(method, codes(2))
    for feature in method.features:
        changed = method.transfer(face, {feature: references()}, {feature: 0.0})
        assert torch.equal(method.render(changed, torch.empty(0)), method.render(face, torch.empty(0)))
    assert method.transfer(face, {}, {}) is face


def test_a_face_gets_its_own_features_back_unchanged(method: RetrieveInStyle) -> None:
    face = {"w_plus": codes(1)}
    everything = dict.fromkeys(method.features, face)
    changed = method.transfer(face, everything, {})
    torch.testing.assert_close(changed["styles"], styles_of(tiny_generator().synthesis, codes(1)))


def test_transfers_go_on_from_where_an_earlier_one_ended(method: RetrieveInStyle) -> None:
    face = {"w_plus": codes(1)}
    first = method.transfer(face, {"pose": references()}, {"pose": 1.0})
    second = method.transfer(first, {"mouth": references(seed=8)}, {})
    assert not torch.equal(second["styles"], first["styles"])
    untouched = method.transfer(first, {"mouth": references(seed=8)}, {"mouth": 0.0})
    assert torch.equal(untouched["styles"], first["styles"])


def test_pose_moves_the_first_layers_and_nothing_else(method: RetrieveInStyle) -> None:
    face, coarse = {"w_plus": codes(2)}, 4 * 8
    own = styles_of(tiny_generator().synthesis, codes(2))
    pose = method.transfer(face, {"pose": references()}, {})["styles"]
    assert torch.equal(pose[:, coarse:], own[:, coarse:])
    assert not torch.equal(pose[:, :coarse], own[:, :coarse])
    eyes = method.transfer(face, {"eyes": references()}, {})["styles"]
    assert torch.equal(eyes[:, :coarse], own[:, :coarse])
    both = method.transfer(face, {"hair": references(), "pose": references()}, {"hair": 1.0, "pose": 1.0})["styles"]
    theirs = styles_of(tiny_generator().synthesis, references()["w_plus"])
    torch.testing.assert_close(both[:, :coarse], theirs[:, :coarse].expand(2, -1), rtol=1e-4, atol=1e-5)


def test_the_face_that_a_query_looks_for_has_the_references_features(method: RetrieveInStyle) -> None:
    face = with_columns(method, codes(1))
    asked = Query(adjust={}, prefer={}, references={"hair": references(), "eyes": references(seed=8)})
    expected = method.transfer(face, asked.references, {})
    assert torch.equal(method.adjusted(face, asked)["styles"], expected["styles"])
    assert "feature_styles" not in expected, "they are of the face before"


def test_unknown_names_are_refused(method: RetrieveInStyle) -> None:
    face = with_columns(method, codes(1))
    told = "this model's features: eyes, hair, background, mouth, pose"
    with pytest.raises(UnknownAttribute, match=told):
        method.transfer(face, {"ears": face}, {})
    with pytest.raises(UnknownAttribute, match="a strength for hair, but no reference"):
        method.transfer(face, {"eyes": face}, {"hair": 1.0})
    with pytest.raises(UnknownAttribute, match=told):
        method.query("eyes", face, Query(adjust={}, prefer={}, references={"ears": face}))
    with pytest.raises(UnknownAttribute, match="Smiling"):
        method.query("eyes", face, Query(adjust={"Smiling": 1.0}, prefer={}, references={}))
    with pytest.raises(UnknownAttribute, match="it transfers eyes, hair"):
        method.edit(face, [Edit("Smiling", 1.0)])
    with pytest.raises(WrongUsage, match="'nose' is not a space of this method; spaces: eyes, mouth, hair, pose"):
        method.search_vectors("nose", face)


def test_numbers_and_shapes_that_cannot_be_meant_are_refused(method: RetrieveInStyle) -> None:
    face = {"w_plus": codes(3)}
    with pytest.raises(WrongUsage, match="strength nan of 'eyes'"):
        method.transfer(face, {"eyes": references()}, {"eyes": float("nan")})
    with pytest.raises(WrongUsage, match="2 references of eyes for 3 faces"):
        method.transfer(face, {"eyes": {"w_plus": codes(2)}}, {})
    with pytest.raises(WrongUsage, match=r"w_plus must be \[n, 8, 8\]"):
        method.represent({"w_plus": codes(3)[:, :4]})
    with pytest.raises(WrongUsage, match="there is no column 'w_plus'; there are: none"):
        method.transfer({}, {"eyes": references()}, {})


def test_a_reference_without_a_face_is_refused(generator: Part) -> None:
    """A catalogue in which no cell of any picture is eyes or mouth: their centres are opposite to all others."""
    part = trained_part()
    centres = part.tensors["centres"].clone()
    seen = [cluster for cluster in range(6) if cluster not in (0, 3, 5)]
    centres[[0, 3, 5]] = -F.normalize(centres[seen].mean(0), dim=0)
    blind = Part(part.kind, part.config, {**part.tensors, "centres": centres})
    method = load({"retrieve_in_style": blind, "generator": generator}, "cpu")
    for feature, told in (("eyes", "shows no eyes"), ("hair", "shows no eyes or mouth")):
        with pytest.raises(WrongUsage, match=f"the reference for {feature} {told}"):
            method.transfer({"w_plus": codes(1)}, {feature: references()}, {})


def test_a_catalogue_of_another_generator_is_refused() -> None:
    part = trained_part()
    with pytest.raises(ModelMismatch, match=r"a catalogue of generator \w+; this model has"):
        load({"retrieve_in_style": part, "generator": generator_part(tiny_generator(1))}, "cpu")
    smaller = generator_part(tiny_generator(size=16, channels=(8, 8, 6)))
    with pytest.raises(ModelMismatch, match="with 11 style layers; this model's generator has 8"):
        load({"retrieve_in_style": part, "generator": smaller}, "cpu")
