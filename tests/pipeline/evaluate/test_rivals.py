"""Other models and methods that edits are compared with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raypipe.attributes import Edit
from raypipe.errors import WrongUsage
from raypipe.pipeline.evaluate.config import EvaluateConfig
from raypipe.pipeline.evaluate.job import EvaluateJob, evaluate_method, method_to_evaluate
from raypipe.pipeline.evaluate.rivals import RivalName, open_rivals, parse_rival
from raypipe.pipeline.loading import load_method, picture_size, represent, shared_inputs
from raypipe.weights import open_bundle
from tests.l2m_models import tiny_l2m

CPU = torch.device("cpu")


def test_words_of_a_rival() -> None:
    assert parse_rival("paper 1=s3://models/small:sparse_directions@2.5") == RivalName(
        "paper 1", "s3://models/small", "sparse_directions", 2.5
    )
    assert parse_rival("single=M:l2m_gan").strength == 1.0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("small:sparse_directions", "is not of the form NAME=MODEL:METHOD"),
        ("a=small", "is not of the form"),
        ("a=:l2m_gan", "is not of the form"),
        ("a=small:l2m_gan@much", "'much' is not a number"),
        ("a=small:l2m_gan@0", "must be a finite number above 0"),
        ("a=small:l2m_gan@inf", "must be a finite number above 0"),
    ],
)
def test_other_words_are_named(words: str, told: str) -> None:
    with pytest.raises(WrongUsage, match=told):
        parse_rival(words)


@pytest.mark.parametrize(("method_name", "strength"), [("sparse_directions", 2.5), ("l2m_gan", 1.0)])
def test_a_rival_edits_as_its_method_does(tmp_path: Path, method_name: str, strength: float) -> None:
    bundle = open_bundle("small") if method_name == "sparse_directions" else tiny_l2m(tmp_path / "styles")
    (rival,) = open_rivals([f"a={bundle.uri}:{method_name}@{strength}"], CPU).values()
    method = load_method(method_name, bundle, CPU)
    size = picture_size(bundle)
    images = torch.rand(3, 3, size, size) * 2 - 1
    columns = represent(method, shared_inputs(method.needs, images, bundle, CPU))
    with torch.no_grad():
        for sign in (1.0, -1.0):
            wanted = method.render(method.edit(columns, [Edit("Smiling", sign * strength)]), images)
            torch.testing.assert_close(rival.edited(images, "Smiling", sign), wanted)
        assert rival.edited(images[..., ::2, ::2], "Smiling", 1.0).shape == images.shape, "of the rival's own size"


def test_rivals_that_cannot_be_are_named(tmp_path: Path) -> None:
    tiny_l2m(tmp_path / "styles")
    words = f"a={tmp_path}/styles:l2m_gan"
    with pytest.raises(WrongUsage, match="two rivals are named 'a'"):
        open_rivals([words, words], CPU)
    with pytest.raises(WrongUsage, match="'smiles' is not a method"):
        open_rivals([f"a={tmp_path}/styles:smiles"], CPU)


def test_an_evaluation_with_baselines_of_its_own_takes_none(tmp_path: Path) -> None:
    tiny_l2m(tmp_path / "styles")
    config = EvaluateConfig(method="sparse_directions", rivals=(f"a={tmp_path}/styles:l2m_gan",))
    job = EvaluateJob(config=config, method=method_to_evaluate("sparse_directions").EvaluationConfig())
    with pytest.raises(WrongUsage, match="'sparse_directions' has baselines of its own: no rivals, got 1"):
        evaluate_method(job, device=CPU, say=print, watch=lambda done, total: None)
