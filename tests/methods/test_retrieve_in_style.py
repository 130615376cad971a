"""The method's numbers are those of its authors' code, and the paper's where the two differ."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from raypipe.backbones.stylegan2 import Generator, load_generator
from raypipe.backbones.stylegan2.foreign_rosinality import rosinality_generator_part
from raypipe.methods.retrieve_in_style.config import PUBLIC_CODE, Variant
from raypipe.methods.retrieve_in_style.contribution import (
    cluster_labels,
    clustered_activations,
    contributions,
    feature_masks,
)
from raypipe.methods.retrieve_in_style.membership import membership, pair_membership, soft_membership, with_pose
from raypipe.methods.retrieve_in_style.spaces import feature_vectors, reduced
from raypipe.methods.retrieve_in_style.styles import layer_after, layout_of, picture_of, styles_of, trace_of
from raypipe.methods.retrieve_in_style.transfer import Step, transferred
from tests.methods.retrieve_in_style_data import public_case

ALPHA = 1.3
TRANSFERRED = ("eyes", "nose", "mouth", "hair", "pose")


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator(rosinality_generator_part(public_case()["state_dict"], torch.zeros(1, 64))[0], "cpu")


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


def features() -> dict[str, tuple[int, ...]]:
    config = public_case()["config"]
    return {name: tuple(config["labels_map"][str(row)]) for name, row in config["labels2idx"].items()}


def found(generator: Generator, labels_NGG: Tensor) -> Tensor:
    """M of the file's faces for clusters of their cells."""
    layout = layout_of(generator.config)
    _, trace = trace_of(generator.synthesis, layout, styles_of(generator.synthesis, public_case()["w_plus"]))
    return contributions(trace, feature_masks(labels_NGG, features()), instance_norm=True)


def given(generator: Generator) -> Tensor:
    return found(generator, public_case()["given"]["labels"].long())


def pair(contributions_NFC: Tensor, generator: Generator, variant: Variant) -> Tensor:
    """q of face 0 as the source and faces 1 to 3 as references."""
    source, references = contributions_NFC[:1].expand(3, -1, -1), contributions_NFC[1:4]
    return pair_membership(source, references, layout_of(generator.config), variant)


def test_style_coefficients_in_their_order(generator: Generator) -> None:
    stored, layout = public_case(), layout_of(generator.config)
    assert list(layout.lengths) == stored["config"]["style_lens"]
    assert (layout.channels, layout.coarse_channels) == (stored["config"]["C"], stored["config"]["first4"])
    assert_close(styles_of(generator.synthesis, stored["w_plus"]), stored["sigma"])
    rgb = [number for number, is_rgb in enumerate(layout.is_rgb) if is_rgb]
    assert rgb == [number for number in stored["config"]["rgb_layer_idx"] if number < len(layout.lengths)]


def test_pictures_of_style_coefficients(generator: Generator) -> None:
    stored = public_case()
    picture = picture_of(generator.synthesis, layout_of(generator.config), stored["sigma"][:1])
    assert_close(picture.clamp(-1, 1), stored["image0"], 2e-5)


def test_clusters_of_cells(generator: Generator) -> None:
    stored, layout = public_case(), layout_of(generator.config)
    entry = layer_after(generator.config, 32)
    _, trace = trace_of(generator.synthesis, layout, stored["sigma"])
    assert_close(trace.inputs[entry].raw[:1], stored["cluster_layer_preact0"], 1e-4)
    labels = cluster_labels(clustered_activations(trace, entry, squared=True), stored["centers"])
    assert torch.equal(labels, stored["from_centers"]["labels"].long())
    q = membership(found(generator, labels), layout, PUBLIC_CODE)
    assert torch.equal(q, stored["from_centers"]["M"])


def test_contribution_and_membership_of_single_faces(generator: Generator) -> None:
    stored, layout, m = public_case()["given"], layout_of(generator.config), given(generator)
    assert torch.equal(feature_masks(stored["labels"].long(), features()), stored["masks32"])
    assert_close(m, stored["M_raw"])
    assert_close(soft_membership(m, 0.1), stored["M_soft"])
    assert torch.equal(membership(m, layout, PUBLIC_CODE), stored["M"])


def test_pairs_and_the_rule_for_pose(generator: Generator) -> None:
    stored, layout = public_case(), layout_of(generator.config)
    q = pair(given(generator), generator, PUBLIC_CODE)
    assert torch.equal(q, stored["max_M_src0_ref123"])
    ruled = with_pose(q, tuple(features()), layout)
    assert torch.equal(ruled, stored["with_pose"])
    assert torch.equal(ruled[:, :-1], stored["after_remove_first4"])


def test_pairs_as_the_paper_has_them(generator: Generator) -> None:
    assert_close(pair(given(generator), generator, Variant()), public_case()["paper_soft_q_from_max_raw"])


@pytest.mark.parametrize("feature", TRANSFERRED)
def test_transfers(generator: Generator, feature: str) -> None:
    stored, layout = public_case(), layout_of(generator.config)
    case = stored["transfer"][feature]
    ruled = with_pose(pair(given(generator), generator, PUBLIC_CODE), tuple(features()), layout)
    q = ruled[:, [*features(), "pose"].index(feature)]
    assert torch.equal(q, case["q"])
    source, references = stored["sigma"][:1].expand(3, -1), stored["sigma"][1:4]
    ours = transferred(source, [Step(q, references, ALPHA)], keep_length=True)
    assert_close(ours, case["sigma_code_alpha1p3"])
    assert_close(picture_of(generator.synthesis, layout, ours).clamp(-1, 1), case["image_code"], 2e-5)
    of_paper = transferred(source, [Step(q, references, ALPHA)], keep_length=False)
    assert_close(of_paper, case["sigma_paper_eq6_alpha1p3"])
    whole = transferred(source, [Step(q, references, 1.0)], keep_length=False)
    assert_close(whole, case["sigma_interp_util"])


def test_transfers_that_keep_the_length() -> None:
    stored = public_case("ris/add_direction_unit.pt")
    source = stored["s"].expand(3, -1)
    cases = ((stored["q"], stored["a"], "out"), (0 * stored["q"], stored["a"], "out_q0"))
    for q, alpha, name in (*cases, (stored["q"], -0.7, "out_alpha_neg")):
        assert_close(transferred(source, [Step(q, stored["r"], alpha)], keep_length=True), stored[name], 1e-6)


def test_distances_of_feature_vectors(generator: Generator) -> None:
    """Equations 7 and 8 for the file's q and sigma, against NumPy's way of writing the cosine."""
    stored = public_case()
    vectors = feature_vectors(stored["given"]["M_soft"], stored["sigma"])
    features, channels = vectors.shape[1:]
    kept = reduced(vectors, torch.eye(channels).expand(features, -1, -1)).double()
    for feature in range(features):
        first, second = vectors[:1, feature].double().expand(6, -1), vectors[:, feature].double()
        expected = 1 - (first * second).sum(1) / (first.square().sum(1) * second.square().sum(1)).sqrt()
        assert_close(1 - kept[:, feature] @ kept[0, feature], expected, 1e-6)
