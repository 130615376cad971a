"""Algorithm 2, against a slow version of it, over workers and interruptions; and the measured ranges."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from raypipe.config import read_config
from raypipe.contract import DataFacts, Recipe, Share, Site
from raypipe.errors import RaypipeError, UnknownAttribute, WrongUsage
from raypipe.methods.sparse_directions import Config, build_recipe, columns
from raypipe.methods.sparse_directions.directions import read_directions
from raypipe.methods.sparse_directions.orthogonal import nearest_orthogonal
from raypipe.methods.sparse_directions.ranges import RangeMeter
from raypipe.methods.sparse_directions.scores import HeldOutScores, mean_entries
from raypipe.methods.sparse_directions.sweep import fit_by_sparsity
from raypipe.weights import open_bundle, save_bundle
from tests.backbones.recipe_states import assert_goes_on_the_same
from tests.methods.sparse_directions_data import NAMES, SHAPE, labelled_codes, site
from tests.share_workers import run_with_workers

PLAIN = Config(mean_loss=False, normalised=False, balanced=False, learning_rate=1e-3, sparsity=0.1)
VARIANTS = [
    Config(),
    PLAIN,
    dataclasses.replace(PLAIN, mean_loss=True, learning_rate=0.05),
    Config(balanced=False),
    Config(normalised=False),
    Config(mean_loss=False, learning_rate=1e-4),
]


def state(recipe: Recipe) -> dict[str, Any]:
    return recipe.state_dict()


def one_slow_iteration(
    vectors: Tensor, biases: Tensor, data: dict[str, Tensor], config: Config
) -> tuple[Tensor, Tensor]:
    """Algorithm 2, lines 3 to 9, one attribute and one face at a time, for codes as they are."""
    moved_vectors, moved_biases = vectors.clone(), biases.clone()
    codes, labels = data["w_plus"].double().flatten(1), data["labels"]
    for m in range(len(vectors)):
        gradient, gradient_bias = config.sparsity * vectors[m].sign(), 0.0
        for w, label in zip(codes, labels[:, m], strict=True):
            y = 1.0 if label == 1 else -1.0
            if 1 - y * (vectors[m] @ w + biases[m]) > 0:
                share = 1 / len(codes) if config.mean_loss else 1.0
                gradient = gradient - share * y * w
                gradient_bias -= share * y
        moved_vectors[m] -= config.learning_rate * gradient
        moved_biases[m] -= config.learning_rate * gradient_bias
    return nearest_orthogonal(moved_vectors), moved_biases


@pytest.mark.parametrize("mean_loss", [False, True])
def test_a_step_is_algorithm_2_as_printed(mean_loss: bool) -> None:
    config = dataclasses.replace(PLAIN, mean_loss=mean_loss)
    data = labelled_codes(40)
    recipe = build_recipe(config, site(40))
    vectors, biases = state(recipe)["vectors"].double(), state(recipe)["biases"].double()
    for _ in range(5):
        recipe.step(data)
        vectors, biases = one_slow_iteration(vectors, biases, data, config)
    torch.testing.assert_close(state(recipe)["vectors"].double(), vectors, rtol=0, atol=1e-5)
    torch.testing.assert_close(state(recipe)["biases"].double(), biases, rtol=0, atol=1e-5)


def test_normalised_is_the_same_algorithm_on_normalised_codes() -> None:
    data = labelled_codes(60)
    centred = data["w_plus"] - data["w_plus"].mean(0)
    by_hand = {**data, "w_plus": centred / centred.square().mean().sqrt()}
    ours, expected = build_recipe(Config(), site(60)), build_recipe(Config(normalised=False), site(60))
    for _ in range(5):
        ours.step(data)
        expected.step(by_hand)
    torch.testing.assert_close(state(ours)["vectors"], state(expected)["vectors"], rtol=0, atol=1e-5)
    assert ours.evaluate([data]) == pytest.approx(expected.evaluate([by_hand]), abs=1e-5)


def test_balanced_is_the_same_as_repeating_the_rarer_faces() -> None:
    one = {name: column[:, :1] if name == "labels" else column for name, column in labelled_codes(90).items()}
    chosen = torch.cat([one["labels"][:, 0].nonzero()[:10], (one["labels"][:, 0] == 0).nonzero()[:30]])[:, 0]
    rare = {name: column[chosen] for name, column in one.items()}
    repeated = {
        name: torch.cat([column[:10].repeat(3, *[1] * (column.ndim - 1)), column[10:]]) for name, column in rare.items()
    }
    facts = DataFacts(rows=40, attributes=NAMES[:1], code_shape=SHAPE)
    balanced = build_recipe(Config(normalised=False), Site(data=facts))
    plain = build_recipe(Config(normalised=False, balanced=False), Site(data=facts))
    for _ in range(5):
        balanced.step(rare)
        plain.step(repeated)
    torch.testing.assert_close(state(balanced)["vectors"], state(plain)["vectors"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("config", VARIANTS, ids=range(len(VARIANTS)))
@pytest.mark.parametrize("count", [2, 4])
def test_several_workers_are_one(config: Config, count: int) -> None:
    # 41 rows: the shares are unequal, and a mean of means would be wrong.
    batches = [labelled_codes(41, seed=0)] * 6
    alone = run_with_workers(lambda share: build_recipe(config, site(41, share)), batches, 1)[0]
    together = run_with_workers(lambda share: build_recipe(config, site(41, share)), batches, count)
    for recipe in together:
        for name, value in state(alone).items():
            torch.testing.assert_close(state(recipe)[name], value, rtol=0, atol=1e-5)


def test_a_worker_without_rows_does_no_harm() -> None:
    batches = [labelled_codes(3, seed=seed) for seed in range(3)]
    config = Config(batch=3)
    alone = run_with_workers(lambda share: build_recipe(config, site(99, share)), batches, 1)[0]
    together = run_with_workers(lambda share: build_recipe(config, site(99, share)), batches, 4)
    torch.testing.assert_close(state(together[3])["vectors"], state(alone)["vectors"], rtol=0, atol=1e-5)


def test_going_on_from_a_state_is_going_on() -> None:
    batches = [labelled_codes(16, seed=seed) for seed in range(6)]
    assert_goes_on_the_same(lambda: build_recipe(Config(batch=16), site(96)), batches, cut=3)


@pytest.mark.parametrize("batch", [0, 50])
def test_it_learns_what_divides_the_faces(batch: int) -> None:
    data, held_out = labelled_codes(400), labelled_codes(200, seed=1)
    recipe = build_recipe(Config(batch=batch, learning_rate=0.05), site(400))
    before = recipe.evaluate([held_out])
    for step in range(300):
        rows = slice(None) if batch == 0 else slice(step * batch % 400, step * batch % 400 + batch)
        recipe.step({name: column[rows] for name, column in data.items()})
    after = recipe.evaluate([held_out])
    assert after["error"] < 0.1 < 0.3 < before["error"]
    assert after["hinge"] < 0.5 * before["hinge"]


def test_more_sparsity_leaves_fewer_entries_and_learns_more_of_few_faces() -> None:
    config = Config(steps=300, learning_rate=0.02)
    fits = fit_by_sparsity(config, site(30), labelled_codes(30), labelled_codes(200, seed=1), (0.0, 0.02, 0.05))
    assert list(fits) == [0.0, 0.02, 0.05]
    none, some, much = (fit.scores for fit in fits.values())
    training = labelled_codes(30)["w_plus"].flatten(1)
    for fit in fits.values():  # T's range is that of the training faces
        torch.testing.assert_close(fit.directions.lowest, (training @ fit.directions.vectors.T).amin(0))
    # Of 24 entries two decide on each attribute.
    assert none["entries"] > some["entries"] > much["entries"]
    assert none["error"] > some["error"] > much["error"]


def test_what_is_exported_was_measured_over_all_faces_and_says_so(tmp_path: Path) -> None:
    data = labelled_codes(120)
    recipe = build_recipe(Config(attributes=("Black_Hair", "Smiling"), learning_rate=0.05), site(120))
    with pytest.raises(RaypipeError, match=r"finish\(\) comes before export"):
        recipe.export()
    for _ in range(100):
        recipe.step(data)
    recipe.finish({name: column[rows] for name, column in data.items()} for rows in (slice(0, 50), slice(50, 120)))
    save_bundle(str(tmp_path), "test", recipe.export(), {})
    directions = read_directions(open_bundle(str(tmp_path)).read("sparse_directions"))
    projections = data["w_plus"].flatten(1) @ directions.vectors.T
    assert directions.attributes == ("Black_Hair", "Smiling")
    torch.testing.assert_close(directions.lowest, projections.amin(0))
    torch.testing.assert_close(directions.highest, projections.amax(0))
    torch.testing.assert_close(directions.units, (projections.amax(0) - projections.amin(0)) / 2)
    torch.testing.assert_close(directions.vectors @ directions.vectors.T, torch.eye(2), rtol=0, atol=1e-6)
    # The stored biases belong to codes as they are: the same decisions as the recipe's own.
    scores = HeldOutScores(2)
    scores.add(projections + directions.biases, data["labels"][:, [2, 0]])
    assert scores.result()["error"] == pytest.approx(recipe.evaluate([data])["error"])
    recipe.step(data)
    with pytest.raises(RaypipeError, match="not measured"):
        recipe.export()


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_extremes_over_workers_are_the_extremes(count: int) -> None:
    """Of 11 rows: the last of 12 workers has none."""
    projections = torch.randn(11, 4, generator=torch.Generator().manual_seed(0))
    labels = (torch.arange(44).reshape(11, 4) % 3 == 0).float()
    brought: list[list[Tensor]] = [[] for _ in range(count)]

    def meet(rank: int) -> Share:
        return Share(rank, count, lambda tensors: brought[rank].extend(tensors))

    for rank in range(count):  # the workers meet one after the other: first each brings what it has
        meter = RangeMeter(4, torch.device("cpu"))
        meter.add(meet(rank).of(projections), meet(rank).of(labels))
        meter.over_all_workers(meet(rank))
    means = [torch.stack(list(together)).mean(0) for together in zip(*brought, strict=True)]

    def leave(tensors: Any) -> None:
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean)

    ranges = RangeMeter(4, torch.device("cpu")).over_all_workers(Share(0, count, leave))
    assert torch.equal(ranges.lowest, projections.amin(0))
    assert torch.equal(ranges.highest, projections.amax(0))
    assert torch.equal(ranges.faces, torch.stack([labels.sum(0), (1 - labels).sum(0)]).double())


def test_scores_of_held_out_faces_by_hand() -> None:
    scores = HeldOutScores(2)
    margins = torch.tensor([[2.0, 0.5], [-0.5, 0.5], [-2.0, 0.5]])
    labels = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    for rows in (slice(0, 2), slice(2, 3)):
        scores.add(margins[rows], labels[rows])
    # Half of those with the first attribute are missed, none without it; the second has no face without it.
    assert scores.result() == pytest.approx({"error": (0.5 + 0.0) / 2, "hinge": (1.5 + 3 * 0.5) / 6})


def test_energy_is_counted_from_the_largest_entry() -> None:
    vectors = torch.tensor([[0.0, -3.0, 4.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 7.0]])
    assert mean_entries(vectors) == pytest.approx((2 + 4 + 1) / 3)


def test_samples_are_no_pictures() -> None:
    assert len(build_recipe(Config(), site(10)).samples(labelled_codes(4))) == 0


def test_the_defaults_are_the_papers() -> None:
    config = read_config(Config)
    assert (config.sparsity, config.learning_rate, config.batch) == (5e-3, 1e-2, 0)
    assert columns(config) == ("w_plus", "labels")


@pytest.mark.parametrize(
    ("facts", "config", "told"),
    [
        ({"attributes": ()}, {}, "this data has none"),
        ({"code_shape": (0, 0)}, {}, r"codes \(w_plus\), and this data has none"),
        ({"rows": 2}, {}, "3 directions need at least as many faces, got 2"),
        ({"rows": 0}, {}, "set a batch"),
        ({"code_shape": (1, 2)}, {}, "3 attributes cannot have orthogonal directions among 2 numbers"),
        ({}, {"attributes": ("Smiling", "Smiling")}, "named twice"),
    ],
)
def test_data_that_cannot_work_is_refused_before_any_work(
    facts: dict[str, Any], config: dict[str, Any], told: str
) -> None:
    data = dataclasses.replace(site(50).data, **facts)
    with pytest.raises(WrongUsage, match=told):
        build_recipe(Config(**config), Site(data=data))


def test_an_unknown_attribute_is_named() -> None:
    with pytest.raises(UnknownAttribute, match="Halo: not in the labels; there are: Smiling"):
        build_recipe(Config(attributes=("Smiling", "Halo")), site(50))


def with_nan(data: dict[str, Tensor]) -> dict[str, Tensor]:
    data["w_plus"][7, 1, 2] = torch.nan
    return data


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        (with_nan(labelled_codes(20)), r"w_plus is not finite in 1 row\(s\) of the batch, first in row 7"),
        ({"w_plus": torch.zeros(20, *SHAPE)}, "no labels"),
        (labelled_codes(20) | {"w_plus": torch.zeros(20, 4, 7)}, r"\[n, 4, 6\], got \[20, 4, 7\]"),
        (labelled_codes(20) | {"labels": torch.zeros(20, 2)}, "labels must be"),
        (labelled_codes(20) | {"labels": -torch.ones(20, 3)}, "labels must be 0 or 1, got"),
        (labelled_codes(20) | {"w_plus": torch.ones(20, *SHAPE)}, "all equal"),
    ],
)
def test_a_bad_batch_is_named(batch: dict[str, Tensor], told: str) -> None:
    with pytest.raises(WrongUsage, match=told):
        build_recipe(Config(), site(20)).step(batch)


def test_an_attribute_that_all_faces_have_is_named() -> None:
    data = labelled_codes(20)
    data["labels"][:, 1] = 1
    with pytest.raises(WrongUsage, match="all training faces have or all lack Eyeglasses"):
        build_recipe(Config(), site(20)).step(data)
    by_batches = build_recipe(Config(batch=20), site(20))
    by_batches.step(data)
    with pytest.raises(WrongUsage, match="Eyeglasses"):
        by_batches.finish([data])


@pytest.mark.parametrize(
    "setting", ["steps=0", "batch=-1", "sparsity=-0.1", "learning_rate=0", "initial_length=0", "lambda=1"]
)
def test_a_setting_that_cannot_be_meant_is_named(setting: str) -> None:
    with pytest.raises(WrongUsage, match=setting.split("=")[0]):
        read_config(Config, {}, [setting])
