"""The pass over the training rows with which a run ends."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from raypipe.contract import Columns, Share
from raypipe.methods.sparse_directions.config import SparseDirectionsConfig
from raypipe.methods.sparse_directions.directions import read_directions
from raypipe.methods.sparse_directions.recipe import SparseDirectionsRecipe
from raypipe.pipeline.train.batches import LocalBatches
from raypipe.pipeline.train.config import DataConfig, TrainConfig, TrainJob
from raypipe.pipeline.train.job import begin, work
from raypipe.pipeline.train.readers import open_reader, split_rows
from raypipe.pipeline.train.summary import Outcome
from raypipe.weights import open_bundle
from tests.pipeline.encode.test_job import config_for, encode_locally
from tests.pipeline.train.made_up import celeba_folder
from tests.share_workers import Meeting

HELD_OUT = 8


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    folder = tmp_path_factory.mktemp("finish")
    encode_locally(config_for(celeba_folder(folder / "in", 45), folder / "codes", model, commit_rows=16))
    return folder / "codes"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_worker_finishes_with_its_share_of_the_training_rows(
    codes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    data = DataConfig(uri=str(codes), attributes=("Male", "Smiling"), held_out=HELD_OUT)
    config = TrainConfig(recipe="sparse_directions", out=str(tmp_path), data=data)
    job = TrainJob(config=config, recipe=SparseDirectionsConfig(steps=2))
    begin(job, restart=False, say=lambda _: None)
    meeting = Meeting(count)
    shares = [Share(rank, count, meeting.average_for(rank)) for rank in range(count)]
    seen: dict[int, list[Columns]] = {rank: [] for rank in range(count)}
    finish = SparseDirectionsRecipe.finish

    def watched(self: SparseDirectionsRecipe, batches: Iterable[Columns]) -> None:
        kept = list(batches)
        seen[self._site.share.rank] = kept
        finish(self, kept)

    monkeypatch.setattr(SparseDirectionsRecipe, "finish", watched)

    def run(share: Share) -> Outcome:
        return work(
            job,
            device=torch.device("cpu"),
            share=share,
            watch=lambda _: None,
            is_told=lambda: False,
            batches_for=LocalBatches,
        )

    with ThreadPoolExecutor(count) as threads:
        told = [done.result().run for done in [threads.submit(run, share) for share in shares]]
    reader = open_reader(data, job.columns, job.state_uri)
    training = split_rows(reader, held_out=HELD_OUT).training
    assert len(training) == 45 - HELD_OUT
    assert [run["rows_at_the_end"] for run in told] == [len(training[rank::count]) for rank in range(count)]
    assert all(run["ms_per_row_at_the_end"] > 0 for run in told)
    for rank, batches in seen.items():
        truth = reader.read(training[rank::count], training)
        for name, column in truth.items():
            assert (torch.cat([batch[name] for batch in batches]).numpy() == column).all()
    every = reader.read(training, training)["w_plus"].astype(np.float32).reshape(len(training), -1)
    directions = read_directions(open_bundle(str(tmp_path)).read("sparse_directions"))
    projections = every @ directions.vectors.numpy().T
    np.testing.assert_allclose(directions.lowest, projections.min(0), atol=1e-5)
    np.testing.assert_allclose(directions.highest, projections.max(0), atol=1e-5)
