"""What surrounds the loss, on a network of one number."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from raypipe.blocks.supervised import ROWS_AT_ONCE, SupervisedConfig, SupervisedTraining, applied
from raypipe.contract import Columns, DataFacts, Share, Site
from raypipe.errors import WrongUsage

CONFIG = SupervisedConfig(batch=4, steps=10, learning_rate=0.1, warmup=1, weight_decay=0.0)


class Scale(nn.Module):
    """x -> weight * x."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x


def training(
    config: SupervisedConfig = CONFIG, *, seed: int = 0, share: Share | None = None
) -> SupervisedTraining[Scale]:
    return SupervisedTraining(Scale, config, Site(data=DataFacts(rows=0), seed=seed, share=share or Share()))


def loss_on(made: SupervisedTraining[Scale], rows: Tensor) -> Tensor:
    def loss_of(batch: Columns) -> Tensor:
        return made.network(batch["x"]).mean()

    return made.step(loss_of, {"x": rows})


def test_first_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    first = training(seed=1).network.weight
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
    assert torch.equal(training(seed=1).network.weight, first)
    assert not torch.equal(training(seed=2).network.weight, first)


def test_a_step_of_adam_is_the_learning_rate_at_first_and_none_at_last() -> None:
    made = training()
    before = made.network.weight.item()
    loss = loss_on(made, torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert float(loss) == pytest.approx(3 * before)
    assert made.network.weight.item() == pytest.approx(before - 0.1, abs=1e-6)
    made.done = CONFIG.steps
    before = made.network.weight.item()
    loss_on(made, torch.ones(4))
    assert made.network.weight.item() == before


def test_the_average_lies_between_the_first_weights_and_the_last() -> None:
    """After a step on 4 of 4 images seen its half-life is 0.4 images: it keeps 2^-10 of the first weight."""
    made = training()
    before = made.network.weight.item()
    loss_on(made, torch.ones(4))
    assert made.average.weight.item() == pytest.approx(made.network.weight.item() + 0.1 / 1024, abs=1e-6)
    assert made.average.weight.item() < before


def test_passes_give_the_mean_loss_of_all_rows() -> None:
    config = SupervisedConfig(**{**vars(CONFIG), "accumulate": 2})
    rows = torch.tensor([1.0, 2.0, 3.0, 6.0])
    assert float(loss_on(training(config), rows)) == pytest.approx(float(loss_on(training(), rows)))


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(WrongUsage, match="a batch of 4 cannot be shared by 3 workers x 1 passes: give"):
        training(share=Share(0, 3))


def test_applied_is_the_function_of_all_rows() -> None:
    images = torch.rand(2 * ROWS_AT_ONCE + 3, 3, 2, 2)
    assert torch.equal(applied(lambda some: some.mean((1, 2, 3)), images), images.mean((1, 2, 3)))
