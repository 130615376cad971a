"""L2M-GAN as a method: equations 8 to 10, what an attribute's part of a style is, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
import torch
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.backbones.attributes import attribute_part
from raypipe.backbones.stargan2 import landmarks_part
from raypipe.backbones.stargan2.references import ReferenceLacksAttribute
from raypipe.contract import Columns, Query, Translator
from raypipe.errors import ModelMismatch, UnknownAttribute, WrongUsage
from raypipe.methods.l2m_gan.method import L2M, RELATED, STYLES, UNRELATED, VALUES, load
from raypipe.methods.l2m_gan.networks import L2MGAN, l2m_part
from raypipe.pipeline.loading import load_method, methods_of
from raypipe.weights import save_bundle
from tests.backbones.stargan2_landmarks import tiny_landmarks
from tests.l2m_models import tiny_judge, tiny_l2m, tiny_network
from tests.methods.contract_checks import check_method

SMILE, BOTH = ("Smiling",), ("Smiling", "Male")
FACES = 5


def images(count: int = FACES, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def method_and_faces(attributes: tuple[str, ...], *, values: Tensor | None = None) -> tuple[L2M, L2MGAN, Columns]:
    """A method, its networks, and the columns of some faces, with these values of the attributes."""
    network = tiny_network(attributes)
    method = L2M(network, tiny_judge(network.config.attributes))
    columns = {"image": images(), **method.represent({"image": images()})}
    if values is not None:
        own = columns[STYLES][torch.arange(FACES), network.domains.of_values(values)]
        unrelated, related = network.transformer.decompose(own)
        columns |= {UNRELATED: unrelated, RELATED: related, VALUES: values}
    return method, network, columns


@pytest.mark.parametrize("attributes", [SMILE, BOTH])
def test_it_keeps_the_contract(attributes: tuple[str, ...]) -> None:
    method, _, _ = method_and_faces(attributes)
    check_method(method, {"image": images()})
    assert isinstance(method, Translator)
    assert not method.samples_styles


def test_a_bundle_gives_the_method(tmp_path: Path) -> None:
    bundle = tiny_l2m(tmp_path)
    assert methods_of(bundle) == ("l2m_gan",)
    method = load_method("l2m_gan", bundle, "cpu")
    assert method.attributes == BOTH
    wanted = L2M(tiny_network(), tiny_judge()).represent({"image": images()})
    for name, column in method.represent({"image": images()}).items():
        assert torch.equal(column, wanted[name])


@torch.no_grad()
def test_a_bundle_s_landmarks_keep_detail_in_pictures_and_nowhere_else(tmp_path: Path) -> None:
    """They are of the face that is drawn, whatever is changed in it."""
    network, landmarks = tiny_network(SMILE, high_pass=1.0), tiny_landmarks()
    parts = {"l2m_gan": l2m_part(network), "attributes": attribute_part(tiny_judge(SMILE))}
    plain = load_method("l2m_gan", save_bundle(str(tmp_path / "plain"), "plain", parts, {}), "cpu")
    parts["stargan2_landmarks"] = landmarks_part(landmarks)
    filtered = load_method("l2m_gan", save_bundle(str(tmp_path / "filtered"), "filtered", parts, {}), "cpu")
    columns = filtered.represent({"image": images()})
    for name, column in plain.represent({"image": images()}).items():
        assert torch.equal(columns[name], column)
    edited = filtered.edit(columns, [Edit("Smiling", 1.0)])
    wanted = network.generator(images(), edited[UNRELATED] + edited[RELATED], landmarks.masks(images())).clamp(-1, 1)
    torch.testing.assert_close(filtered.render(edited, images()), wanted)
    assert float((plain.render(edited, images()) - wanted).abs().max()) > 0.01


def test_an_edit_is_equation_8_and_9() -> None:
    method, network, columns = method_and_faces(SMILE, values=torch.zeros(FACES, 1))
    related, unrelated = columns[RELATED], columns[UNRELATED]
    target = network.transformer.transform(related, torch.ones(FACES, dtype=torch.int64))
    for strength in (0.25, 1.0, 1.25):
        edited = method.edit(columns, [Edit("Smiling", strength)])
        wanted = related + strength * (target - related)
        torch.testing.assert_close(edited[RELATED], wanted)
        assert torch.equal(edited[UNRELATED], unrelated)
        assert torch.equal(edited[VALUES], torch.full((FACES, 1), float(strength >= 0.5)))
        drawn = network.generator(columns["image"], wanted + unrelated).clamp(-1, 1)
        torch.testing.assert_close(method.render(edited, columns["image"]), drawn)


def test_a_negative_strength_takes_the_attribute_away() -> None:
    method, network, columns = method_and_faces(SMILE, values=torch.ones(FACES, 1))
    without = network.transformer.transform(columns[RELATED], torch.zeros(FACES, dtype=torch.int64))
    torch.testing.assert_close(method.edit(columns, [Edit("Smiling", -1.0)])[RELATED], without)


def test_edits_of_two_attributes_meet_in_the_target_domain() -> None:
    """And half of each is the mean of the four corners; order does not matter, and strengths of one add up."""
    method, network, columns = method_and_faces(BOTH, values=torch.tensor([[0.0, 1.0]]).expand(FACES, 2))
    related = columns[RELATED]

    def at(domain: str) -> Tensor:
        number = torch.full((FACES,), network.domains.number(domain))
        return network.transformer.transform(related, number)

    whole = [Edit("Smiling", 1.0), Edit("Male", -1.0)]
    for order in permutations(whole):
        torch.testing.assert_close(method.edit(columns, order)[RELATED], at("Smiling, not Male"))
    corners = related + at("Smiling, Male") + at("not Smiling, not Male") + at("Smiling, not Male")
    halves = [Edit("Male", -0.5), Edit("Smiling", 0.25), Edit("Smiling", 0.25)]
    torch.testing.assert_close(method.edit(columns, halves)[RELATED], corners / 4)


def test_nothing_asked_changes_no_bit() -> None:
    method, _, columns = method_and_faces(BOTH)
    for edits in ([], [Edit("Smiling", 0.0)], [Edit("Male", 0.5), Edit("Male", -0.5)]):
        assert method.edit(columns, edits) is columns


def test_a_translation_is_equation_1() -> None:
    method, network, columns = method_and_faces(BOTH)
    translated = method.translate(columns, "Smiling, not Male")
    targets = torch.full((FACES,), 2)
    style = network.transformer(columns[RELATED] + columns[UNRELATED], targets)
    torch.testing.assert_close(translated[RELATED] + translated[UNRELATED], style)
    assert torch.equal(translated[VALUES], torch.tensor([[1.0, 0.0]]).expand(FACES, 2))
    edited = method.edit(columns, [Edit("Smiling", 1.0), Edit("Male", -1.0)])
    torch.testing.assert_close(edited[RELATED], translated[RELATED])


@pytest.mark.parametrize("own_branch", [False, True])
@pytest.mark.filterwarnings("ignore:a reference for")
def test_a_reference_is_equation_10(own_branch: bool) -> None:
    network = tiny_network(SMILE)
    network.config = replace(network.config, own_branch=own_branch)
    method = L2M(network, tiny_judge(network.config.attributes))
    columns, reference = (method.represent({"image": images(seed=seed)}) for seed in (1, 2))
    for given in (reference, {name: column[:1] for name, column in reference.items()}):
        made = method.translate(columns, "Smiling", reference=given)
        as_smiling = network.transformer.decompose(columns[STYLES][:, 1])[0]
        torch.testing.assert_close(made[UNRELATED], columns[UNRELATED] if own_branch else as_smiling)
        wanted = network.transformer.decompose(given[STYLES][:, 1])[1]
        torch.testing.assert_close(made[RELATED], wanted.expand(FACES, -1))


def test_a_reference_without_the_target_attribute_is_warned_of() -> None:
    method, _, columns = method_and_faces(SMILE, values=torch.zeros(FACES, 1))
    with pytest.warns(ReferenceLacksAttribute, match=r"for 'Smiling' seems to be 'not Smiling' \(row 0\)"):
        method.translate(columns, "Smiling", reference=columns)
    method.translate(columns, "not Smiling", reference=columns)


def test_of_a_single_attribute_the_spaces_are_the_papers_codes() -> None:
    method, _, columns = method_and_faces(SMILE)
    assert tuple(method.spaces) == ("all_but_Smiling", "Smiling")
    assert torch.equal(method.search_vectors("Smiling", columns), columns[RELATED])
    assert torch.equal(method.search_vectors("all_but_Smiling", columns), columns[UNRELATED])


def test_of_several_the_two_spaces_of_each_add_up_to_the_style() -> None:
    method, network, columns = method_and_faces(BOTH, values=torch.tensor([[1.0, 0.0]]).expand(FACES, 2))
    for attribute, pair in (("Smiling", (0, 2)), ("Male", (2, 3))):
        rest, own = (method.search_vectors(name, columns) for name in (f"all_but_{attribute}", attribute))
        torch.testing.assert_close(rest + own, columns[RELATED] + columns[UNRELATED])
        both = [network.transformer.transform(columns[RELATED], torch.full((FACES,), number)) for number in pair]
        torch.testing.assert_close(rest, columns[UNRELATED] + (both[0] + both[1]) / 2)


def test_a_query_asks_for_the_adjusted_face() -> None:
    method, network, columns = method_and_faces(SMILE)
    ends = [network.transformer.transform(columns[RELATED], torch.full((FACES,), number)) for number in (0, 1)]
    query = Query(adjust={"Smiling": 0.75}, prefer={}, references={})
    torch.testing.assert_close(method.query("Smiling", columns, query), 0.25 * ends[0] + 0.75 * ends[1])
    assert torch.equal(method.query("all_but_Smiling", columns, query), columns[UNRELATED])
    assert bool((method.adjusted(columns, query)[VALUES] == 1).all())


@pytest.mark.parametrize("attributes", [SMILE, BOTH])
def test_a_query_may_take_an_attribute_from_another_face(attributes: tuple[str, ...]) -> None:
    method, _, columns = method_and_faces(attributes)
    other = {name: column[:1] for name, column in method.represent({"image": images(seed=3)}).items()}
    found = method.adjusted(columns, Query(adjust={}, prefer={}, references={"Smiling": other}))
    rest, own = method.search_vectors("all_but_Smiling", columns), method.search_vectors("Smiling", other)
    torch.testing.assert_close(found[RELATED] + found[UNRELATED], rest + own)


def test_what_cannot_be_is_named() -> None:
    method, _, columns = method_and_faces(SMILE)
    nothing = Query(adjust={}, prefer={}, references={})
    with pytest.raises(UnknownAttribute, match="'Hat' is not an attribute of this model; it has: Smiling"):
        method.edit(columns, [Edit("Hat", 1.0)])
    with pytest.raises(WrongUsage, match="must be a finite number"):
        method.edit(columns, [Edit("Smiling", float("nan"))])
    with pytest.raises(WrongUsage, match="'Hat' is not a domain of this model; domains: not Smiling; Smiling"):
        method.translate(columns, "Hat")
    with pytest.raises(WrongUsage, match="draws no styles"):
        method.translate(columns, "Smiling", seed=1)
    with pytest.raises(WrongUsage, match="the reference is 2 faces, for 5"):
        method.translate(columns, "Smiling", reference={name: column[:2] for name, column in columns.items()})
    with pytest.raises(WrongUsage, match=r"image must be \[n, 3, 32, 32\], or larger squares, got \[1, 3, 16, 16\]"):
        method.represent({"image": torch.zeros(1, 3, 16, 16)})
    with pytest.raises(WrongUsage, match=r"source must be \[n, 3, 32, 32\]"):
        method.render(columns, torch.zeros(FACES, 3, 16, 16))
    with pytest.raises(WrongUsage, match="5 faces are drawn from as many pictures, got 2"):
        method.render(columns, images(2))
    with pytest.raises(WrongUsage, match="'hat' is not a space of this method; spaces: all_but_Smiling, Smiling"):
        method.search_vectors("hat", columns)
    with pytest.raises(WrongUsage, match="l2m_re is not finite in row 0"):
        method.search_vectors("Smiling", {**columns, RELATED: columns[RELATED] * float("nan")})
    with pytest.raises(WrongUsage, match="there is no column 'l2m_un'"):
        method.render({VALUES: columns[VALUES]}, images())
    for asked in (replace(nothing, prefer={"Smiling": 2.0}), replace(nothing, move={"Smiling": 1.0})):
        with pytest.raises(UnknownAttribute, match="have no coordinates"):
            method.query("Smiling", columns, asked)
    with pytest.raises(WrongUsage, match=r"must be in \[0, 1\], got \{'Smiling': 1.5\}"):
        method.query("Smiling", columns, replace(nothing, adjust={"Smiling": 1.5}))


def test_a_broken_picture_breaks_only_its_own_columns() -> None:
    method, _, _ = method_and_faces(SMILE)
    broken = images()
    broken[2] = float("nan")
    columns, whole = method.represent({"image": broken}), method.represent({"image": images()})
    for name in (UNRELATED, RELATED, STYLES):
        assert not torch.isfinite(columns[name][2]).any()
        torch.testing.assert_close(columns[name][3:], whole[name][3:])


def test_the_attribute_network_sees_the_values(tmp_path: Path) -> None:
    bundle = tiny_l2m(tmp_path, BOTH)
    parts = {name: bundle.read(name) for name in ("l2m_gan", "attributes")}
    wanted = (tiny_judge(BOTH)(images(40))[:, 1:] > 0).float()
    assert torch.equal(load(parts, "cpu").represent({"image": images(40)})[VALUES], wanted)
    with pytest.raises(ModelMismatch, match="the model's attribute network does not know Male"):
        load({**parts, "attributes": attribute_part(tiny_judge(SMILE))}, "cpu")
