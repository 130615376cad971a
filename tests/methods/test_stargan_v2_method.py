"""StarGAN v2 as a method: where styles come from, what edits make of them, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from raypipe import catalog
from raypipe.attributes import Edit
from raypipe.backbones import stargan2
from raypipe.backbones.attributes import attribute_part
from raypipe.backbones.stargan2.foreign import stargan2_parts
from raypipe.backbones.stargan2.recipe import Config, build_recipe
from raypipe.backbones.stargan2.references import ReferenceLacksAttribute
from raypipe.contract import Columns, DataFacts, Query, Site, Translator
from raypipe.errors import ModelMismatch, UnknownAttribute, WrongUsage
from raypipe.methods.stargan_v2.method import STYLE, STYLES, VALUES, StarGAN2, load
from raypipe.methods.stargan_v2.networks import StarGAN2Networks
from raypipe.pipeline.loading import load_method, methods_of
from tests.backbones.stargan2_landmarks import public_checkpoint, public_state, tiny_landmarks
from tests.l2m_models import tiny_judge
from tests.methods.contract_checks import check_method
from tests.stargan2_models import parts_of, tiny_networks, tiny_stargan2

SMILE, BOTH = ("Smiling",), ("Smiling", "Male")
FACES = 5
NOTHING = Query(adjust={}, prefer={}, references={})


def images(count: int = FACES, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def method_and_faces(
    attributes: tuple[str, ...], *, values: Tensor | None = None
) -> tuple[StarGAN2, StarGAN2Networks, Columns]:
    """A method, its networks, and the columns of some faces, with these values of the attributes."""
    networks = tiny_networks(attributes)
    method = StarGAN2(networks, tiny_judge(attributes))
    columns = {"image": images(), **method.represent({"image": images()})}
    if values is not None:
        own = stargan2.Domains(attributes).of_values(values)
        columns |= {STYLE: stargan2.of_domain(columns[STYLES], own), VALUES: values}
    return method, networks, columns


def drawn(networks: StarGAN2Networks, seed: int, domain: int) -> Tensor:
    """F_y(z), [1, D]."""
    noise = torch.randn(1, 3, generator=torch.Generator().manual_seed(seed))
    styles: Tensor = networks.mapping(noise)
    return styles[:, domain]


@pytest.mark.parametrize("attributes", [SMILE, BOTH])
def test_it_keeps_the_contract(attributes: tuple[str, ...]) -> None:
    method, _, _ = method_and_faces(attributes)
    check_method(method, {"image": images()})
    assert isinstance(method, Translator)
    assert method.samples_styles


def test_a_bundle_gives_the_method(tmp_path: Path) -> None:
    bundle = tiny_stargan2(tmp_path)
    assert methods_of(bundle) == ("stargan_v2",)
    method = load_method("stargan_v2", bundle, "cpu")
    assert method.attributes == BOTH
    wanted = StarGAN2(tiny_networks(), tiny_judge()).represent({"image": images()})
    for name, column in method.represent({"image": images()}).items():
        assert torch.equal(column, wanted[name])


@torch.no_grad()
@pytest.mark.parametrize("has_landmarks", [False, True])
def test_a_public_checkpoint_gives_the_method(has_landmarks: bool) -> None:
    """With landmarks pictures are drawn through the generator's high-pass filter."""
    torch.manual_seed(0)
    tree = public_checkpoint(high_pass=1.0) | ({"fan": public_state(tiny_landmarks())} if has_landmarks else {})
    parts, _ = stargan2_parts(tree)
    method = load({**parts, "attributes": attribute_part(tiny_judge(("Male",)))}, "cpu")
    assert method.domains == ("not Male", "Male")
    face = images(2)
    columns = method.represent({"image": face})
    masks = tiny_landmarks().masks(face) if has_landmarks else ()
    generator = stargan2.load_generator(parts["stargan2_generator"], "cpu")
    torch.testing.assert_close(method.render(columns, face), generator(face, columns[STYLE], masks).clamp(-1, 1))


def test_what_the_recipe_makes_is_what_the_method_takes() -> None:
    """Its domains have the names of the attributes that it was trained with, in their order."""
    facts = DataFacts(rows=8, size=32, attributes=("Hat", "Male", "Smiling"))
    config = Config(batch=3, attributes=BOTH, style_dim=4, first_width=4, max_width=6, latent_dim=3, hidden=8)
    parts = build_recipe(config, Site(data=facts)).export()
    method = load({**parts, "attributes": attribute_part(tiny_judge(BOTH))}, "cpu")
    assert (method.attributes, method.domains) == (BOTH, stargan2.Domains(BOTH).names)
    check_method(method, {"image": images()})


def test_it_is_no_recipe_but_says_which_there_are() -> None:
    assert "stargan_v2" in catalog.method_names()
    assert "stargan_v2" not in catalog.recipe_names()
    with pytest.raises(WrongUsage, match=r"'stargan_v2' is not a recipe; recipes: .*stargan2"):
        catalog.recipe_module("stargan_v2")


def test_a_face_s_own_style_is_of_the_domain_that_it_is_seen_in() -> None:
    networks, judge = tiny_networks(BOTH), tiny_judge(BOTH)
    judge.head.bias -= judge(images(40)).median(dim=0).values
    columns, read = StarGAN2(networks, judge).represent({"image": images(40)}), networks.style_encoder(images(40))
    seen = (judge(images(40))[:, 1:] > 0).float()
    assert len(seen.unique(dim=0)) > 1
    assert torch.equal(columns[VALUES], seen)
    assert torch.equal(columns[STYLES], read)
    for row, (smiling, male) in enumerate(seen.int().tolist()):
        assert torch.equal(columns[STYLE][row], read[row, 2 * smiling + male])


def test_a_seed_draws_one_style_for_all_faces() -> None:
    method, networks, columns = method_and_faces(BOTH)
    number = method.domains.index("Smiling, not Male")
    by_seed = method.translate(columns, "Smiling, not Male", seed=7)
    torch.testing.assert_close(by_seed[STYLE], drawn(networks, 7, number).expand(FACES, -1))
    assert torch.equal(by_seed[VALUES], torch.tensor([[1.0, 0.0]]).expand(FACES, 2))
    assert torch.equal(method.translate(columns, "not Male, Smiling", seed=7)[STYLE], by_seed[STYLE])
    assert not torch.equal(method.translate(columns, "Smiling, not Male", seed=8)[STYLE], by_seed[STYLE])
    made = networks.generator(images(), by_seed[STYLE]).clamp(-1, 1)
    assert torch.equal(method.render(by_seed, images()), made)


def test_a_label_alone_is_seed_0() -> None:
    method, _, columns = method_and_faces(BOTH)
    for domain in method.domains:
        by_label, by_seed = method.translate(columns, domain), method.translate(columns, domain, seed=0)
        assert torch.equal(by_label[STYLE], by_seed[STYLE])


@pytest.mark.filterwarnings("ignore:a reference for")
def test_a_reference_gives_its_style_in_the_target_domain() -> None:
    method, networks, columns = method_and_faces(SMILE)
    reference = method.represent({"image": images(seed=2)})
    wanted = networks.style_encoder(images(seed=2))[:, 1]
    each = method.translate(columns, "Smiling", reference=reference)
    torch.testing.assert_close(each[STYLE], wanted)
    one = method.translate(columns, "Smiling", reference={name: column[:1] for name, column in reference.items()})
    torch.testing.assert_close(one[STYLE], wanted[:1].expand(FACES, -1))
    assert torch.equal(one[STYLES], columns[STYLES])


def test_a_reference_without_the_target_attribute_is_warned_of() -> None:
    method, _, columns = method_and_faces(SMILE, values=torch.zeros(FACES, 1))
    with pytest.warns(ReferenceLacksAttribute, match=r"for 'Smiling' seems to be 'not Smiling' \(row 0\)"):
        method.translate(columns, "Smiling", reference=columns)
    method.translate(columns, "not Smiling", reference=columns)


@pytest.mark.parametrize(("sign", "domain"), [(1, "Smiling"), (-1, "not Smiling")])
def test_an_edit_goes_towards_the_label_s_style(sign: int, domain: str) -> None:
    method, _, columns = method_and_faces(SMILE)
    own, target = columns[STYLE], method.translate(columns, domain)[STYLE]
    for strength in (0.25, 1.0, 1.5):
        edited = method.edit(columns, [Edit("Smiling", sign * strength)])
        torch.testing.assert_close(edited[STYLE], own + strength * (target - own))
        reached = columns[VALUES] if strength < 0.5 else torch.full((FACES, 1), float(sign > 0))
        assert torch.equal(edited[VALUES], reached)


def test_edits_of_two_attributes_meet_in_the_target_domain() -> None:
    """And half of each is the mean of the four corners; order does not matter, and strengths of one add up."""
    method, _, columns = method_and_faces(BOTH, values=torch.tensor([[0.0, 1.0]]).expand(FACES, 2))

    def at(domain: str) -> Tensor:
        return method.translate(columns, domain)[STYLE]

    for order in permutations([Edit("Smiling", 1.0), Edit("Male", -1.0)]):
        torch.testing.assert_close(method.edit(columns, order)[STYLE], at("Smiling, not Male"))
    corners = columns[STYLE] + at("Smiling, Male") + at("not Smiling, not Male") + at("Smiling, not Male")
    halves = [Edit("Male", -0.5), Edit("Smiling", 0.25), Edit("Smiling", 0.25)]
    torch.testing.assert_close(method.edit(columns, halves)[STYLE], corners / 4)


def test_an_edit_of_one_attribute_keeps_the_others() -> None:
    values = torch.tensor([[0.0, 1.0], [0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    method, _, columns = method_and_faces(BOTH, values=values)
    edited = method.edit(columns, [Edit("Smiling", 1.0)])
    male, female = (method.translate(columns, name)[STYLE][0] for name in ("Smiling, Male", "Smiling, not Male"))
    for row, is_male in enumerate(values[:, 1].bool().tolist()):
        torch.testing.assert_close(edited[STYLE][row], male if is_male else female)


def test_nothing_asked_changes_no_bit() -> None:
    method, _, columns = method_and_faces(BOTH)
    for edits in ([], [Edit("Smiling", 0.0)], [Edit("Male", 0.5), Edit("Male", -0.5)]):
        assert method.edit(columns, edits) is columns
    assert method.adjusted(columns, NOTHING) is columns


def test_a_query_asks_for_the_adjusted_style() -> None:
    method, _, columns = method_and_faces(SMILE)
    ends = [method.translate(columns, domain)[STYLE] for domain in method.domains]
    query = replace(NOTHING, adjust={"Smiling": 0.75})
    torch.testing.assert_close(method.query("style", columns, query), 0.25 * ends[0] + 0.75 * ends[1])
    assert torch.equal(method.query("style", columns, NOTHING), columns[STYLE])


def test_what_cannot_be_is_named() -> None:
    method, _, columns = method_and_faces(SMILE)
    with pytest.raises(UnknownAttribute, match="'Hat' is not an attribute of this model; it has: Smiling"):
        method.edit(columns, [Edit("Hat", 1.0)])
    with pytest.raises(WrongUsage, match="must be a finite number"):
        method.edit(columns, [Edit("Smiling", float("nan"))])
    with pytest.raises(WrongUsage, match="'Hat' is not a domain of this model; domains: not Smiling; Smiling"):
        method.translate(columns, "Hat")
    with pytest.raises(WrongUsage, match="a style comes from one of them"):
        method.translate(columns, "Smiling", reference=columns, seed=1)
    for seed in (-1, 2**63):
        with pytest.raises(WrongUsage, match=f"a seed is from 0 to 2\\^63 - 1, got {seed}"):
            method.translate(columns, "Smiling", seed=seed)
    with pytest.raises(WrongUsage, match="the reference is 2 faces, for 5"):
        method.translate(columns, "Smiling", reference={name: column[:2] for name, column in columns.items()})
    with pytest.raises(WrongUsage, match=r"image must be \[n, 3, 32, 32\], or larger squares, got \[1, 3, 16, 16\]"):
        method.represent({"image": torch.zeros(1, 3, 16, 16)})
    with pytest.raises(WrongUsage, match="5 faces are drawn from as many pictures, got 2"):
        method.render(columns, images(2))
    with pytest.raises(WrongUsage, match="'hat' is not a space of this method; spaces: style"):
        method.search_vectors("hat", columns)
    with pytest.raises(WrongUsage, match="stargan2_style is not finite in row 0"):
        method.render({**columns, STYLE: columns[STYLE] * float("nan")}, images())
    with pytest.raises(WrongUsage, match="there is no column 'stargan2_style'"):
        method.translate({"image": images()}, "Smiling", seed=1)
    others: tuple[dict[str, Any], ...] = ({"prefer": {"Smiling": 2.0}}, {"references": {"Smiling": columns}})
    for asked in others:
        with pytest.raises(UnknownAttribute, match="Smiling: styles of this method have no parts"):
            method.query("style", columns, replace(NOTHING, **asked))
    with pytest.raises(WrongUsage, match=r"must be in \[0, 1\], got \{'Smiling': 1.5\}"):
        method.query("style", columns, replace(NOTHING, adjust={"Smiling": 1.5}))


def test_a_broken_picture_breaks_only_its_own_columns() -> None:
    method, _, _ = method_and_faces(SMILE)
    broken = images()
    broken[2] = float("nan")
    columns, whole = method.represent({"image": broken}), method.represent({"image": images()})
    for name in (STYLE, STYLES):
        assert not torch.isfinite(columns[name][2]).any()
        torch.testing.assert_close(columns[name][3:], whole[name][3:])


def test_networks_that_do_not_belong_together_are_refused() -> None:
    parts, judge = parts_of(tiny_networks(BOTH)), attribute_part(tiny_judge(BOTH))
    with pytest.raises(ModelMismatch, match="32 px, 4 and 2 domains"):
        load({**parts, "stargan2_style_encoder": parts_of(tiny_networks(SMILE))["stargan2_style_encoder"]}, "cpu")
    with pytest.raises(ModelMismatch, match="the model's attribute network does not know Male"):
        load({**parts, "attributes": attribute_part(tiny_judge(SMILE))}, "cpu")
    nameless = parts["stargan2_style_encoder"]
    nameless = replace(nameless, config={**nameless.config, "attributes": []})
    with pytest.raises(ModelMismatch, match="does not say what its 4 domains are of"):
        load({**parts, "attributes": judge, "stargan2_style_encoder": nameless}, "cpu")
    with pytest.raises(WrongUsage, match="Smiling have not 3 combinations"):
        stargan2.StyleEncoderConfig(domains=3, attributes=SMILE)
