"""The critic of codes: its penalty in closed form, its pool, and gathering over workers."""

from __future__ import annotations

import torch

from raypipe.backbones.psp.latent_discriminator import (
    CodePool,
    CriticConfig,
    LatentCritic,
    LatentDiscriminator,
    gather,
    r1_penalty,
)
from raypipe.blocks.randomness import Draws
from raypipe.contract import DataFacts, Share, Site

CPU = torch.device("cpu")


def draws(step: int) -> Draws:
    return Draws(0, step, Share(), CPU)


def test_its_tensors_are_named_as_the_public_ones() -> None:
    shapes = {name: tuple(x.shape) for name, x in LatentDiscriminator(6).state_dict().items()}
    assert shapes == {
        f"mlp.{index}.{name}": shape
        for index in (0, 2, 4, 6)
        for name, shape in (("weight", (1 if index == 6 else 6, 6)), ("bias", (1 if index == 6 else 6,)))
    }


def test_r1_is_the_squared_slope() -> None:
    """A network that is linear at its inputs: all hidden units far in the positive."""
    torch.manual_seed(0)
    network = LatentDiscriminator(5).double()
    product = torch.ones(1, 1).double()
    for layer in network.mlp:
        if isinstance(layer, torch.nn.Linear):
            layer.weight.data.abs_()
            layer.bias.data.fill_(10.0)
    for name, weight in reversed(list(network.named_parameters())):
        if name.endswith("weight"):
            product = product @ weight
    penalty = r1_penalty(network, torch.rand(7, 5).double())
    torch.testing.assert_close(penalty, product.square().sum())


def test_what_the_critic_learns_pulls_codes_towards_the_generators_own() -> None:
    torch.manual_seed(1)
    config = CriticConfig(learning_rate=1e-2, r1_weight=0.0)
    critic = LatentCritic(6, config, Site(data=DataFacts(rows=0)))
    towards = torch.tensor([3.0, 0, 0, 0, 0, 0])
    for _ in range(60):
        numbers = critic.step(torch.randn(16, 6) * 0.3, torch.randn(16, 6) * 0.3 + towards)
    assert float(numbers["discriminator"]) < 0.5  # 2 log 2 where it cannot tell them apart
    codes = (torch.randn(16, 6) * 0.3).requires_grad_()
    critic.loss(codes).backward()  # type: ignore[no-untyped-call]
    assert codes.grad is not None
    assert (-codes.grad @ towards > 0).all()


def test_the_pool_gives_every_row_itself_until_it_is_full() -> None:
    pool, rows = CodePool(6, 2, CPU), torch.arange(12.0).reshape(6, 2)
    assert torch.equal(pool.exchange(rows, draws(0)), rows)


def test_the_pool_holds_back_rows_and_loses_none() -> None:
    """What came in is given out later or still there; about half of the rows given out are older ones."""
    pool, came, given = CodePool(5, 1, CPU), [], []
    for step in range(100):
        rows = torch.arange(step * 4.0, step * 4 + 4)[:, None]
        came += rows.flatten().tolist()
        given += pool.exchange(rows, draws(step)).flatten().tolist()
    kept = pool.state_dict()["rows"].flatten().tolist()
    assert len(kept) == 5
    # The first five were given out when they came in as well.
    assert sorted(given + kept) == sorted(came + came[:5])
    older = sum(now != then for now, then in zip(given, came, strict=True)) / len(given)
    assert 0.4 < older < 0.6


def test_gathered_rows_are_the_whole_batch() -> None:
    """What the workers bring has the whole batch as its mean, which every worker is left with."""
    whole, brought = torch.randn(12, 3), []
    for rank in range(3):
        share = Share(rank, 3, lambda tensors: brought.append(tensors[0].clone()))
        gather(share, share.of(whole))
    torch.testing.assert_close(torch.stack(brought).mean(0), whole)
    assert torch.equal(gather(Share(), whole), whole)
