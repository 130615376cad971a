"""The optimiser against its papers' formulas, number by number."""

from __future__ import annotations

import copy
import io
import math

import torch
from torch import Tensor, nn

from raypipe.blocks.ranger import Ranger, centralise_

LR, BETA1, BETA2, EPS, STEPS, SHARE = 0.03, 0.95, 0.999, 1e-5, 6, 0.5


def slow_ranger(start: Tensor, gradients: list[Tensor]) -> Tensor:
    """Algorithm 2 of Liu et al. and algorithm 1 of Zhang et al., in float64."""
    fast, slow = start.double(), start.double()
    momentum = variance = torch.zeros_like(fast)
    rho_inf = 2 / (1 - BETA2) - 1
    for t, raw in enumerate(gradients, 1):
        gradient = raw.double()
        if gradient.ndim > 1:
            gradient = gradient - gradient.flatten(1).mean(1).reshape(-1, *[1] * (gradient.ndim - 1))
        momentum = BETA1 * momentum + (1 - BETA1) * gradient
        variance = BETA2 * variance + (1 - BETA2) * gradient**2
        unbiased = momentum / (1 - BETA1**t)
        rho = rho_inf - 2 * t * BETA2**t / (1 - BETA2**t)
        if rho > 5:
            rectified = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
            unbiased = unbiased * math.sqrt(rectified * (1 - BETA2**t)) / (variance.sqrt() + EPS)
        fast = fast - LR * unbiased
        if t % STEPS == 0:
            slow = slow + SHARE * (fast - slow)
            fast = slow
    return fast


def run(parameter: nn.Parameter, optimiser: Ranger, gradients: list[Tensor]) -> Tensor:
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimiser.step()
    return parameter.detach()


def test_it_is_radam_with_centralised_gradients_and_lookahead() -> None:
    torch.manual_seed(0)
    for shape in ((4,), (4, 3), (4, 3, 2, 2)):
        start, gradients = torch.randn(shape), [torch.randn(shape) for _ in range(20)]
        parameter = nn.Parameter(start.clone())
        moved = run(parameter, Ranger([parameter], lr=LR), gradients)
        torch.testing.assert_close(moved.double(), slow_ranger(start, gradients), rtol=0, atol=1e-5)


def test_a_run_that_was_stored_goes_on_identically() -> None:
    torch.manual_seed(1)
    start, gradients = torch.randn(4, 3), [torch.randn(4, 3) for _ in range(20)]
    whole = nn.Parameter(start.clone())
    run(whole, Ranger([whole], lr=LR), gradients)
    first = nn.Parameter(start.clone())
    optimiser = Ranger([first], lr=LR)
    run(first, optimiser, gradients[:8])
    stored = io.BytesIO()
    torch.save(optimiser.state_dict(), stored)
    stored.seek(0)
    second = nn.Parameter(copy.deepcopy(first.detach()))
    resumed = Ranger([second], lr=LR)
    resumed.load_state_dict(torch.load(stored, weights_only=True))
    assert torch.equal(run(second, resumed, gradients[8:]), whole)


def test_a_parameter_without_gradient_begins_when_it_gets_one() -> None:
    """What joins later moves as if its first step were the first of all."""
    torch.manual_seed(2)
    start, gradients = torch.randn(4, 3), [torch.randn(4, 3) for _ in range(3)]
    late, always = nn.Parameter(start.clone()), nn.Parameter(torch.randn(2))
    optimiser = Ranger([always, late], lr=LR)
    for _ in range(STEPS):
        always.grad = torch.randn(2)
        optimiser.step()
    assert torch.equal(late, start)
    moved = run(late, optimiser, gradients)
    torch.testing.assert_close(moved.double(), slow_ranger(start, gradients), rtol=0, atol=1e-6)


def test_centralised_gradients_have_no_mean() -> None:
    gradient = torch.randn(3, 5, 2, 2)
    torch.testing.assert_close(centralise_(gradient).flatten(1).mean(1), torch.zeros(3), rtol=0, atol=1e-6)
    vector = torch.randn(3)
    assert torch.equal(centralise_(vector.clone()), vector)
