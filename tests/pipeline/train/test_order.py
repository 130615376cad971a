from __future__ import annotations

import numpy as np
import pytest

from raypipe.pipeline.train.order import Order


def test_every_epoch_has_every_row_once_in_another_order() -> None:
    order = Order(groups=(4, 7, 1), batch=4, seed=3)
    epochs = np.concatenate([order.of_step(step) for step in range(6)]).reshape(2, 12)
    assert [sorted(epoch) for epoch in epochs.tolist()] == [list(range(12))] * 2
    assert epochs[0].tolist() != epochs[1].tolist()


def test_a_batch_may_span_epochs_and_no_row_is_left_out() -> None:
    order = Order(groups=(5,), batch=3, seed=0)
    rows = np.concatenate([order.of_step(step) for step in range(5)])
    assert [sorted(epoch) for epoch in rows.reshape(3, 5).tolist()] == [list(range(5))] * 3


def test_a_step_has_the_same_rows_whatever_was_asked_before() -> None:
    asked_in_turn = [Order(groups=(50,), batch=7, seed=1).of_step(step).tolist() for step in range(20)]
    asked_backwards = [Order(groups=(50,), batch=7, seed=1).of_step(step).tolist() for step in reversed(range(20))]
    assert asked_in_turn == asked_backwards[::-1]
    assert asked_in_turn != [Order(groups=(50,), batch=7, seed=2).of_step(step).tolist() for step in range(20)]


def test_a_batch_larger_than_the_data_goes_round() -> None:
    rows = Order(groups=(3,), batch=8, seed=0).of_step(1)
    assert len(rows) == 8
    assert set(rows.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("window", [1, 2])
def test_neighbouring_rows_come_from_few_groups(window: int) -> None:
    order = Order(groups=(10,) * 6, batch=10, seed=5, window=window)
    for first in range(0, 6, window):
        rows = np.concatenate([order.of_step(step) for step in range(first, first + window)])
        assert len(set((rows // 10).tolist())) == window


def test_batch_0_is_all_rows_in_their_order() -> None:
    assert Order(groups=(2, 3), batch=0, seed=9).of_step(17).tolist() == [0, 1, 2, 3, 4]
