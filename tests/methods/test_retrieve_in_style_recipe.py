"""How a catalogue is made: over workers and interruptions, with features given, found or kept."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.stylegan2 import generator_part
from raypipe.contract import DataFacts, Share
from raypipe.errors import BadWeights, ModelMismatch, WrongUsage
from raypipe.methods.retrieve_in_style import Config, build_recipe, centres_part
from raypipe.methods.retrieve_in_style.assignment import FEATURES as FEATURES_OF_PARTS
from raypipe.methods.retrieve_in_style.catalogue import catalogue_part, read_catalogue
from raypipe.methods.retrieve_in_style.config import Variant
from raypipe.methods.retrieve_in_style.recipe import cluster_pictures, default_resolution
from raypipe.methods.retrieve_in_style.spaces import StatisticsMeter, fit_axes, reduced
from raypipe.methods.retrieve_in_style.styles import layer_after, layout_of, styles_of
from raypipe.weights import Part
from tests.backbones.recipe_states import assert_goes_on_the_same
from tests.methods.retrieve_in_style_data import (
    FEATURES,
    SETTINGS,
    codes,
    site,
    tiny_generator,
    trained_part,
)
from tests.share_workers import Meeting


def config(**changes: Any) -> Config:
    return Config(**{**SETTINGS, **changes})


def batches(steps: int) -> list[dict[str, Tensor]]:
    return [{"w_plus": codes(4, seed=step)} for step in range(steps)]


def made_by(workers: int) -> list[Part]:
    """Every worker's catalogue, after steps and ``finish`` on its own rows, in pieces of three."""
    meeting, rows = Meeting(workers), codes(24, seed=9)
    shares = [Share(rank, workers, meeting.average_for(rank)) for rank in range(workers)]
    # Built one after the other: the networks' weights come from the process's own random state.
    recipes = [build_recipe(config(), site(share=share)) for share in shares]

    def work(rank: int) -> Part:
        for batch in batches(4):
            recipes[rank].step({"w_plus": shares[rank].of(batch["w_plus"])})
        own = shares[rank].of(rows)
        recipes[rank].finish([{"w_plus": own[first : first + 3]} for first in range(0, len(own), 3)])
        return recipes[rank].export()["retrieve_in_style"]

    with ThreadPoolExecutor(workers) as pool:
        return [done.result() for done in [pool.submit(work, rank) for rank in range(workers)]]


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_together_make_the_same_catalogue(workers: int) -> None:
    (alone,) = made_by(1)
    for part in made_by(workers):
        for name in ("centres", "mean", "std"):
            torch.testing.assert_close(part.tensors[name], alone.tensors[name], rtol=1e-5, atol=1e-6)
        for ours, theirs in zip(part.tensors["axes"], alone.tensors["axes"], strict=True):
            torch.testing.assert_close(ours.T @ ours, theirs.T @ theirs, rtol=0, atol=1e-3)


def test_going_on_from_a_state_is_going_on() -> None:
    assert_goes_on_the_same(lambda: build_recipe(config(), site()), batches(4), cut=3)


def test_passes_go_over_the_same_pictures_and_come_nearer() -> None:
    recipe = build_recipe(config(steps=12), site())
    similarities = [float(recipe.step(batch)["similarity"]) for batch in batches(12)]
    passes = [sum(similarities[first : first + 2]) for first in range(0, 12, 2)]
    assert passes == sorted(passes)
    assert passes[-1] > passes[0]
    torch.testing.assert_close(recipe.state_dict()["centres"].norm(dim=1), torch.ones(6))


def test_statistics_are_of_the_datas_own_styles() -> None:
    catalogue = read_catalogue(trained_part())
    with torch.no_grad():
        styles = styles_of(tiny_generator().synthesis, codes(24))
    torch.testing.assert_close(catalogue.statistics.mean, styles.mean(0))
    torch.testing.assert_close(catalogue.statistics.std, styles.std(0, correction=0))
    layout = layout_of(tiny_generator().config)
    by_layer = catalogue.statistics.by_layer(layout)
    for mean, std, values in zip(
        layout.split(by_layer.mean[None]), layout.split(by_layer.std[None]), layout.split(styles), strict=True
    ):
        torch.testing.assert_close(mean, values.mean().expand_as(mean), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(std, values.std(correction=0).expand_as(std), rtol=1e-4, atol=1e-6)


def test_a_channel_that_never_changes_is_zero_when_normalised() -> None:
    meter = StatisticsMeter(2, torch.device("cpu"))
    styles = torch.stack([torch.full((5,), 1.1), torch.arange(5.0)], dim=1)
    meter.add(styles)
    normalised = meter.over_all_workers(Share()).normalised(styles)
    assert not normalised[:, 0].any()
    assert normalised[:, 1].square().mean().item() == pytest.approx(1.0)


def test_axes_keep_more_of_the_vectors_than_any_others() -> None:
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(40, 1, 10, generator=random) * torch.linspace(3, 0.1, 10)
    axes = fit_axes(vectors, 4)
    torch.testing.assert_close(axes[0] @ axes[0].T, torch.eye(4))
    kept = reduced(vectors, axes).square().sum()
    for seed in range(20):
        other = torch.linalg.qr(torch.randn(10, 4, generator=torch.Generator().manual_seed(seed))).Q.T[None]
        assert reduced(vectors, other).square().sum() < kept
    whole = reduced(vectors, fit_axes(vectors, 99))
    cosines = F.normalize(vectors[:, 0], dim=1) @ F.normalize(vectors[:, 0], dim=1).T
    torch.testing.assert_close(whole[:, 0] @ whole[:, 0].T, cosines, rtol=0, atol=1e-5)


def test_features_are_found_with_made_up_faces_where_none_are_given() -> None:
    catalogue = read_catalogue(trained_part(features={}))
    assert set(catalogue.features) <= set(FEATURES_OF_PARTS)
    assert sorted(cluster for clusters in catalogue.features.values() for cluster in clusters) == list(range(6))
    assert set(catalogue.iou) == set(catalogue.features)
    assert all(0 <= value <= 1 for value in catalogue.iou.values())


def test_features_that_are_given_are_kept_and_measured() -> None:
    catalogue = read_catalogue(trained_part())
    assert dict(catalogue.features) == FEATURES
    assert set(catalogue.iou) == set(FEATURES)
    assert catalogue.spaces == ("eyes", "mouth", "hair", "pose")
    assert catalogue.axes.shape == (4, 5, sum(catalogue.grounds.lengths))


def test_without_steps_clusters_stay_and_features_can_be_changed() -> None:
    first = trained_part()
    recipe = build_recipe(config(steps=0, features={}), site(retrieve_in_style=first))
    recipe.finish([{"w_plus": codes(24)}])
    again = recipe.export()["retrieve_in_style"]
    assert all(torch.equal(again.tensors[name], first.tensors[name]) for name in first.tensors)
    assert again.config == first.config
    edited = {"nose": (0,), "hair": (1, 5)}
    recipe = build_recipe(config(steps=0, features=edited), site(retrieve_in_style=first))
    recipe.finish([{"w_plus": codes(24)}])
    catalogue = read_catalogue(recipe.export()["retrieve_in_style"])
    assert (dict(catalogue.features), catalogue.spaces) == (edited, ("nose", "hair", "pose"))
    assert torch.equal(catalogue.centres, first.tensors["centres"])


def centres_file(centres: Tensor) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, cluster_centers=centres.numpy(), counts=np.ones(len(centres)))
    return sink.getvalue()


def test_centres_of_the_authors_code_are_taken_as_they_are() -> None:
    centres = F.normalize(torch.rand(4, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    part = centres_part(centres_file(centres))
    squared = {"variant": Variant(squared=True), "steps": 0}
    recipe = build_recipe(config(**squared, features={"hair": (0, 2), "eyes": (1,)}), site(cluster_centres=part))
    recipe.finish([{"w_plus": codes(24)}])
    catalogue = read_catalogue(recipe.export()["retrieve_in_style"])
    torch.testing.assert_close(catalogue.centres, centres)
    assert (catalogue.variant.squared, catalogue.spaces) == (True, ("eyes", "hair", "pose"))
    with pytest.raises(ModelMismatch, match=r"variant\.squared = true"):
        build_recipe(config(steps=0, features={"eyes": (1,)}), site(cluster_centres=part))
    with pytest.raises(ModelMismatch, match="the centres have 6 numbers; the layer has 8 channels"):
        build_recipe(config(**squared, features={"eyes": (1,)}, resolution=8), site(cluster_centres=part))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 damaged",
        centres_file(torch.zeros(3, 4)),
        centres_file(torch.ones(3)),
        centres_file(torch.ones(1, 3)),
    ],
)
def test_files_without_centres_are_refused(content: bytes) -> None:
    with pytest.raises(BadWeights, match="cluster_cent"):
        centres_part(content)


def test_held_out_faces_and_pictures_of_the_clusters() -> None:
    recipe = build_recipe(config(), site())
    for batch in batches(4):
        recipe.step(batch)
    assert 0 < recipe.evaluate([{"w_plus": codes(5)}])["distance"] < 1
    samples = recipe.samples({"w_plus": codes(5)})
    assert samples.shape == (6, 5, 3, 32, 32)
    pictures = tiny_generator().synthesis(codes(5)).clamp(-1, 1)
    torch.testing.assert_close(samples.amax(0).detach(), pictures.detach(), rtol=0, atol=1e-6)


def test_each_cell_is_light_in_its_cluster_only() -> None:
    labels = torch.tensor([[[0, 1], [1, 1]]])
    drawn = cluster_pictures(torch.ones(1, 3, 4, 4), labels, 3)
    is_light = drawn[:, 0, 0] > 0.9
    assert is_light[0].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert torch.equal(is_light[1], ~is_light[0])
    assert not is_light[2].any()


def wrong_sites() -> Iterator[tuple[Any, Any, type[Exception], str]]:
    other = generator_part(tiny_generator(1))
    labelled = generator_part(tiny_generator(label_dim=3))
    no_encoder = site()
    no_encoder = dataclasses.replace(no_encoder, parts={"generator": no_encoder.parts["generator"]})
    catalogue = trained_part()
    yield {}, dataclasses.replace(site(), parts={}), WrongUsage, "a catalogue is of a generator"
    yield {"features": {}}, no_encoder, WrongUsage, "takes an encoder"
    yield {}, site(generator=labelled), WrongUsage, "needs labels"
    facts = DataFacts(rows=24, code_shape=(4, 8))
    yield {}, dataclasses.replace(site(), data=facts), ModelMismatch, r"the generator's of \(8, 8\)"
    yield {"resolution": 64}, site(), WrongUsage, "resolution 64 is not one of this generator's"
    yield {"steps": 0}, site(), WrongUsage, "no model given has one"
    yield {"steps": 0}, site(retrieve_in_style=catalogue, generator=other), ModelMismatch, "a catalogue of generator"
    yield (
        {"steps": 0, "resolution": 8},
        site(retrieve_in_style=catalogue),
        ModelMismatch,
        "the clusters are of another layer",
    )
    for features, told in (
        ({"eyes": (6,)}, "clusters 6 are not from 0 to 5"),
        ({"eyes": (1,), "hair": (1, 2)}, "clusters 1 are given more than once"),
        ({"eyes": ()}, "eyes has no clusters"),
        ({"pose": (1,)}, "pose is what hair leaves"),
    ):
        yield {"features": features}, site(), WrongUsage, told


@pytest.mark.parametrize("number", range(12))
def test_what_cannot_be_made_is_refused(number: int) -> None:
    changes, where, error, told = list(wrong_sites())[number]
    with pytest.raises(error, match=told):
        build_recipe(config(**changes), where)


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"clusters": 1}, "clusters must be at least 2"), ({"steps": 1}, "at least one pass over 8 pictures")],
)
def test_settings_that_cannot_be_meant(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(WrongUsage, match=told):
        config(**changes)


def test_small_generators_are_clustered_at_a_quarter_of_their_size() -> None:
    assert [default_resolution(size) for size in (8, 32, 64, 128, 1024)] == [4, 8, 16, 32, 32]
    assert trained_part(resolution=0).config["entry"] == layer_after(tiny_generator().config, 8)


def test_settings_can_be_keys() -> None:
    assert len({config(), config(), config(features={"eyes": (1,)})}) == 2


def test_export_needs_finish() -> None:
    recipe = build_recipe(config(), site())
    recipe.step(batches(1)[0])
    with pytest.raises(WrongUsage, match="finish"):
        recipe.export()


def test_a_catalogue_is_read_back_as_it_was() -> None:
    part = trained_part()
    again = catalogue_part(read_catalogue(part))
    assert (again.kind, dict(again.config)) == (part.kind, dict(part.config))
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in part.tensors.items())


def damaged() -> Iterator[tuple[Part, str]]:
    part = trained_part()
    tensors, told = dict(part.tensors), dict(part.config)
    yield Part("other", told, tensors), "kind 'other'"
    yield Part(part.kind, told, {**tensors, "mean": tensors["mean"][1:]}), "mean is"
    yield Part(part.kind, told, {**tensors, "axes": tensors["axes"][1:]}), "axes is"
    yield Part(part.kind, told, {**tensors, "std": -tensors["std"]}), "deviation below 0"
    yield Part(part.kind, told, {**tensors, "centres": tensors["centres"] / 0}), "not finite"
    yield Part(part.kind, {**told, "entry": 99}, tensors), "layer 99 is not one of 11"
    yield Part(part.kind, {**told, "features": {"eyes": [77]}}, tensors), "clusters 77"
    swapped = {**told["features"], "eyes": told["features"]["hair"], "hair": told["features"]["eyes"]}
    yield Part(part.kind, {**told, "features": swapped}, tensors), "features edited in place"
    yield Part(part.kind, {name: value for name, value in told.items() if name != "variant"}, tensors), "variant"


@pytest.mark.parametrize("number", range(9))
def test_a_damaged_catalogue_is_refused(number: int) -> None:
    part, told = list(damaged())[number]
    with pytest.raises(BadWeights, match=told):
        read_catalogue(part)
