"""What follows from the definitions of contribution, membership and transfer."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from raypipe.backbones.stylegan2 import FeatureMap, GeneratorConfig, Trace
from raypipe.errors import ModelMismatch, WrongUsage
from raypipe.methods.retrieve_in_style.config import PUBLIC_CODE, Variant
from raypipe.methods.retrieve_in_style.contribution import (
    cluster_labels,
    clustered_activations,
    contributions,
    feature_masks,
    mean_contributions,
)
from raypipe.methods.retrieve_in_style.membership import (
    greedy_membership,
    membership,
    pair_membership,
    soft_membership,
    with_pose,
)
from raypipe.methods.retrieve_in_style.styles import (
    StyleLayout,
    layer_after,
    layout_of,
    picture_of,
    styles_of,
    trace_of,
)
from raypipe.methods.retrieve_in_style.transfer import Step, transferred
from tests.methods.retrieve_in_style_data import codes, tiny_generator

LAYOUT = StyleLayout((3, 3, 3, 2, 2, 4), (False, True, False, False, True, False))
NAMES = ("nose", "hair", "skin")


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def some_contributions(rows: int = 4, seed: int = 0) -> Tensor:
    return torch.rand(rows, len(NAMES), LAYOUT.channels, generator=torch.Generator().manual_seed(seed))


def test_the_full_generator_has_the_papers_channels() -> None:
    layout = layout_of(GeneratorConfig())
    assert (len(layout.lengths), layout.channels, layout.coarse_channels) == (26, 9088, 2048)
    rgb = [number for number, is_rgb in enumerate(layout.is_rgb) if is_rgb]
    assert rgb == [1, 4, 7, 10, 13, 16, 19, 22, 25]
    assert layout.of_rgb(torch.device("cpu")).sum() == 9088 - 6048
    assert layer_after(GeneratorConfig(), 32) == 10


@pytest.mark.parametrize("residual", [False, True])
def test_the_layout_is_that_of_the_network(residual: bool) -> None:
    generator = tiny_generator(residual=residual)
    layout, w_plus = layout_of(generator.config), codes(2)
    assert layout.lengths == tuple(style.shape[1] for style in generator.synthesis.styles(w_plus))
    styles = styles_of(generator.synthesis, w_plus)
    picture, trace = trace_of(generator.synthesis, layout, styles)
    assert torch.equal(picture, generator.synthesis(w_plus))
    assert torch.equal(picture_of(generator.synthesis, layout, styles), picture)
    for resolution in (4, 8, 16, 32):
        entry = layer_after(generator.config, resolution)
        assert trace.inputs[entry].raw.shape[2] == resolution
        assert trace.inputs[entry - 1].raw.shape[2] <= resolution
        assert not torch.equal(trace.inputs[entry].raw, trace.inputs[entry - 1].raw)
    with pytest.raises(WrongUsage, match="resolution 12 is not one of this generator's: 4, 8, 16, 32"):
        layer_after(generator.config, 12)
    with pytest.raises(ModelMismatch, match="channels"):
        picture_of(generator.synthesis, layout, styles[:, 1:])


def test_contributions_are_what_equation_3_says() -> None:
    """One sum after the other, over a mask that is as large as the map."""
    random = torch.Generator().manual_seed(0)
    maps, labels = torch.randn(2, 5, 4, 4, generator=random), torch.randint(0, 3, (2, 4, 4), generator=random)
    masks = feature_masks(labels, {"nose": (0,), "hair": (2, 1)})
    found = contributions(Trace([FeatureMap(maps, maps)]), masks, instance_norm=False)
    for n in range(2):
        for c in range(5):
            squares = maps[n, c].square()
            assert found[n, 0, c].item() == pytest.approx(squares[labels[n] == 0].sum().item() / 16, rel=1e-5)
            assert found[n, 1, c].item() == pytest.approx(squares[labels[n] != 0].sum().item() / 16, rel=1e-5)


def test_contributions_to_features_that_leave_nothing_out_add_up_to_one() -> None:
    generator = tiny_generator()
    layout = layout_of(generator.config)
    _, trace = trace_of(generator.synthesis, layout, styles_of(generator.synthesis, codes(3)))
    cells = clustered_activations(trace, layer_after(generator.config, 16), squared=False)
    labels = cluster_labels(cells, torch.nn.functional.normalize(torch.randn(4, 6), dim=1))
    found = contributions(trace, feature_masks(labels, {"a": (0, 2), "b": (1,), "c": (3,)}), instance_norm=True)
    assert found.shape == (3, 3, layout.channels)
    assert found.min() >= 0
    assert found.max() <= 1
    # A channel's mean square is variance / (variance + 1e-5): 1, or less where it hardly changes over the picture.
    variances = torch.cat([layer.activated.var((2, 3), correction=0) for layer in trace.inputs], dim=1)
    torch.testing.assert_close(found.sum(1), variances / (variances + 1e-5), rtol=0, atol=1e-5)


def test_clusters_do_not_depend_on_the_strength_of_activations() -> None:
    random = torch.Generator().manual_seed(0)
    raw, centres = torch.randn(1, 6, 4, 4, generator=random), torch.randn(5, 6, generator=random)
    centres = torch.nn.functional.normalize(centres, dim=1)
    for squared in (False, True):
        labels = [
            cluster_labels(clustered_activations(Trace([FeatureMap(raw * s, raw)]), 0, squared=squared), centres)
            for s in (1.0, 7.0)
        ]
        assert torch.equal(*labels)


def test_the_mean_over_many_faces_is_the_mean_over_their_batches() -> None:
    m = some_contributions(7)
    torch.testing.assert_close(mean_contributions([m[:3], m[3:4], m[4:]]), m.mean(0))


def test_soft_membership_divides_channels_and_sharpens_with_less_temperature() -> None:
    m = some_contributions()
    q = soft_membership(m, 0.1)
    torch.testing.assert_close(q.sum(1), torch.ones(4, LAYOUT.channels))
    assert q[0, 0, 0].item() == pytest.approx(
        math.exp(m[0, 0, 0] / 0.1) / sum(math.exp(m[0, f, 0] / 0.1) for f in range(3)), rel=1e-5
    )
    assert torch.equal(soft_membership(m, 1e-4).round(), torch.nn.functional.one_hot(m.argmax(1), 3).mT.float())


def test_pairs_are_symmetric_and_a_face_with_itself_is_itself() -> None:
    first, second = some_contributions(seed=1), some_contributions(seed=2)
    for variant in (Variant(), PUBLIC_CODE, Variant(threshold=0.5), Variant(maximum_first=False)):
        assert torch.equal(
            pair_membership(first, second, LAYOUT, variant), pair_membership(second, first, LAYOUT, variant)
        )
        assert torch.equal(pair_membership(first, first, LAYOUT, variant), membership(first, LAYOUT, variant))


def test_colour_layers_can_be_left_out_and_thresholds_give_whole_channels() -> None:
    q = membership(some_contributions(), LAYOUT, PUBLIC_CODE)
    assert set(q.unique().tolist()) <= {0.0, 1.0}
    is_rgb = LAYOUT.of_rgb(torch.device("cpu"))
    assert not q[:, :, is_rgb].any()
    assert membership(some_contributions(), LAYOUT, Variant())[:, :, is_rgb].min() > 0


def test_pose_and_hair_share_the_first_layers_and_nobody_else_has_any() -> None:
    ruled = with_pose(membership(some_contributions(), LAYOUT, Variant()), NAMES, LAYOUT)
    coarse = LAYOUT.coarse_channels
    torch.testing.assert_close(ruled[:, 1, :coarse] + ruled[:, 3, :coarse], torch.ones(4, coarse))
    assert not ruled[:, [0, 2], :coarse].any()
    assert not ruled[:, 3, coarse:].any()
    assert ruled[:, :3, coarse:].min() > 0


def test_without_hair_there_is_no_pose() -> None:
    q = membership(some_contributions(), LAYOUT, Variant())
    ruled = with_pose(q, ("nose", "mouth", "skin"), LAYOUT)
    assert ruled.shape == q.shape
    assert not ruled[:, :, : LAYOUT.coarse_channels].any()


def greedy_by_hand(m: list[float], least: float, budget: float) -> list[float]:
    taken, spent = [0.0] * len(m), 0.0
    for channel in sorted(range(len(m)), key=lambda c: -m[c]):
        spent += 1 - m[channel]
        if spent >= budget or m[channel] <= least:
            break
        taken[channel] = 1.0
    return taken


def test_the_greedy_choice_one_channel_after_the_other() -> None:
    m, coarse = some_contributions()[0], LAYOUT.coarse_channels
    q = greedy_membership(m, LAYOUT, least=0.3, budget=1.1, coarse_budget=0.5)
    for feature, row in enumerate(m.tolist()):
        expected = greedy_by_hand(row[:coarse], 0.3, 0.5) + greedy_by_hand(row[coarse:], 0.3, 1.1)
        assert q[feature].tolist() == expected
    assert 0 < q.sum() < q.numel()


def test_strength_zero_changes_no_bit_and_one_is_the_reference_where_it_is_claimed() -> None:
    random = torch.Generator().manual_seed(0)
    source, reference = torch.randn(2, 3, LAYOUT.channels, generator=random)
    q = (torch.rand(3, LAYOUT.channels, generator=random) > 0.5).float()
    for keep_length in (False, True):
        assert torch.equal(transferred(source, [Step(q, reference, 0.0)], keep_length=keep_length), source)
        nothing = transferred(source, [Step(0 * q, reference, 1.3)], keep_length=keep_length)
        assert torch.equal(nothing, source)
    taken = transferred(source, [Step(q, reference, 1.0)], keep_length=False)
    torch.testing.assert_close(taken, torch.where(q > 0, reference, source))


def test_what_is_taken_has_the_length_of_what_it_replaces() -> None:
    random = torch.Generator().manual_seed(0)
    source, reference = torch.randn(2, 3, LAYOUT.channels, generator=random)
    q = torch.rand(3, LAYOUT.channels, generator=random)
    taken = transferred(source, [Step(q, 5 * reference, 1.0)], keep_length=True) - (1 - q) * source
    torch.testing.assert_close(taken.norm(dim=1), (q * source).norm(dim=1))
    smaller = transferred(source, [Step(q, 0.1 * reference, 1.0)], keep_length=True) - (1 - q) * source
    torch.testing.assert_close(smaller, taken)


def test_several_features_do_not_depend_on_their_order_and_share_what_both_claim() -> None:
    random = torch.Generator().manual_seed(0)
    source, first, second = torch.randn(3, 2, LAYOUT.channels, generator=random)
    soft, other = torch.rand(2, 2, LAYOUT.channels, generator=random) * 0.5
    for keep_length in (False, True):
        steps = [Step(soft, first, 1.3), Step(other, second, -0.4)]
        ours = transferred(source, steps, keep_length=keep_length)
        torch.testing.assert_close(ours, transferred(source, steps[::-1], keep_length=keep_length))
    # Claims below 1 in sum: each acts as it would alone.
    alone = [transferred(source, [step], keep_length=False) - source for step in steps]
    torch.testing.assert_close(transferred(source, steps, keep_length=False), source + alone[0] + alone[1])
    whole = torch.ones_like(source)
    both = transferred(source, [Step(whole, first, 1.0), Step(whole, second, 1.0)], keep_length=False)
    torch.testing.assert_close(both, (first + second) / 2)


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"temperature": 0.0}, "temperature must be above 0"), ({"threshold": 1.0}, "threshold must be at least 0")],
)
def test_settings_that_cannot_be_meant(changes: dict[str, float], told: str) -> None:
    with pytest.raises(WrongUsage, match=told):
        Variant(**changes)  # type: ignore[arg-type]
