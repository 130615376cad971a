"""Paper 4's evaluation: numbers of edits whose effect is known, and all of it once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.backbones.attributes import AttributeNetConfig, attribute_part
from raypipe.backbones.stargan2 import landmarks_part
from raypipe.contract import Faces, Rival
from raypipe.errors import WrongUsage
from raypipe.faces import to_signed
from raypipe.methods.l2m_gan import EvaluationConfig, evaluate_beside, evaluation_made_up, load
from raypipe.methods.l2m_gan.evaluation import measure
from raypipe.methods.l2m_gan.evaluation_edits import (
    Edits,
    Judges,
    measure_edits,
    reconstruction_of,
    system_of,
    unedited,
)
from raypipe.methods.l2m_gan.evaluation_made_up import (
    CAUSES,
    FACES_SEED,
    Comparison,
    MadeUp,
    Moved,
    Readout,
    fitted_readout,
    measure_on_made_up,
)
from raypipe.methods.l2m_gan.evaluation_report import OURS, UNEDITED, Results, report_of
from raypipe.methods.l2m_gan.networks import l2m_part
from raypipe.metrics.fid import fid
from raypipe.synthfaces import FACTORS, attributes, render, sample_factors
from raypipe.weights import Part
from tests.backbones.stargan2_landmarks import tiny_landmarks
from tests.l2m_models import SIZE, TWO, tiny_judge, tiny_network

CPU = torch.device("cpu")
NAMES = ("Male", "Smiling")
FEW = EvaluationConfig(least_faces=2, made_up=6, readout=300, shown=3)


class Bright(torch.nn.Module):
    """Sees a face as smiling where it is bright, as male where it is red; features are the means of the colours."""

    def __init__(self) -> None:
        super().__init__()
        self.names = NAMES
        self.config = AttributeNetConfig(names=NAMES, feature_dim=3)
        self.like = torch.nn.Parameter(torch.zeros(1))

    def features(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        means = self.features(images)
        return torch.stack([means[:, 0] - means[:, 2], means.mean(1)], 1)


class Coarse(Bright):
    """Features are the pictures at 8 x 8."""

    def features(self, images: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 8).flatten(1)


def some_faces(rows: int, seed: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    colours = torch.randint(0, 256, (rows, 1, 1, 3), generator=random, dtype=torch.uint8)
    labels = (torch.rand(rows, 2, generator=random) < 0.5).float()
    return {"image": colours.expand(rows, SIZE, SIZE, 3).contiguous(), "labels": labels}


@pytest.fixture(scope="module")
def faces() -> Faces:
    return Faces(NAMES, some_faces(60, 1), some_faces(2, 2), some_faces(40, 3))


def judges() -> Judges:
    return Judges(Bright(), None, CPU)  # type: ignore[arg-type]


def brighter(images: Tensor, attribute: str, sign: float) -> Tensor:
    return images * 0 + 0.5 * sign


def test_edits_are_counted_by_what_the_judge_sees(faces: Faces) -> None:
    systems = {"as they are": unedited(NAMES), "grey": Rival(("Smiling",), brighter)}
    found = measure_edits("Smiling", systems, faces, judges())
    assert found["grey"].accuracy == (1.0, 1.0)
    images, smiles = to_signed(faces.test["image"]), faces.test["labels"][:, 1] > 0.5
    reals, is_real = to_signed(faces.train["image"]), faces.train["labels"][:, 1] > 0.5
    means = images.mean((1, 2, 3))
    for place, (lacks, wanted) in enumerate(((~smiles, is_real), (smiles, ~is_real))):
        is_seen = (means[lacks] > 0) == (place == 0)
        assert found["as they are"].accuracy[place] == pytest.approx(float(is_seen.float().mean()))
        assert found["as they are"].others[place] == 0
        red = images[lacks].mean((2, 3))[:, 0] > images[lacks].mean((2, 3))[:, 2]
        assert found["grey"].others[place] == pytest.approx(float(red.float().mean()))  # grey is not red
        expected = fid([reals[wanted]], [images[lacks]], Bright().features)
        assert found["as they are"].fid[place] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(found["grey"].identity).all()
    assert list(measure_edits("Male", systems, faces, judges())) == ["as they are"]


def test_identity_is_the_cosine_of_before_and_after(faces: Faces) -> None:
    class Colours:
        def embed(self, images: Tensor) -> Tensor:
            return torch.nn.functional.normalize(images.mean((2, 3)), dim=1)

    who = Judges(Bright(), Colours(), CPU)  # type: ignore[arg-type]
    negative = {"as they are": unedited(NAMES), "negative": Rival(NAMES, lambda images, attribute, sign: -images)}
    found = measure_edits("Male", negative, faces, who)
    assert found["as they are"].identity == pytest.approx((1.0, 1.0))
    assert found["negative"].identity == pytest.approx((-1.0, -1.0))


def test_our_own_edits_are_the_methods(faces: Faces) -> None:
    method = load({"l2m_gan": l2m_part(tiny_network()), "attributes": attribute_part(tiny_judge())}, CPU)
    images = to_signed(faces.test["image"][:3])
    columns = method.represent({"image": images})
    with torch.no_grad():
        made = system_of(method, CPU).edited(images, "Male", -1.0)
        torch.testing.assert_close(made, method.render(method.edit(columns, [Edit("Male", -1.0)]), images))
        wanted = to_signed(faces.test["image"])
        again = method.render(method.represent({"image": wanted}), wanted)
        assert reconstruction_of(method, faces, CPU) == pytest.approx(float((again - wanted).abs().mean()))


def drawn_exactly(attribute: str, faces: int) -> Rival:
    """Edits made-up faces exactly: it knows them by their pictures."""
    factors = sample_factors(faces, FACES_SEED, images_per_identity=1)
    factor, having, lacking = CAUSES[attribute]
    has_it = attributes(factors)[attribute]
    exact = factors.changed(factor, np.where(has_it, lacking, having).astype(np.float32))
    before, after = (to_signed(torch.from_numpy(render(some, SIZE).images)) for some in (factors, exact))
    pictures = {picture.numpy().tobytes(): other for picture, other in zip(before, after, strict=True)}
    return Rival(
        (attribute,), lambda images, name, sign: torch.stack([pictures[one.numpy().tobytes()] for one in images])
    )


def test_exact_edits_change_nothing_elsewhere() -> None:
    systems = {
        "as they are": unedited(("Eyeglasses",)),
        "exact": drawn_exactly("Eyeglasses", 70),
        "inverted": Rival(("Eyeglasses",), lambda images, attribute, sign: -images),
    }
    judge = Coarse()
    with torch.no_grad():
        found = measure_on_made_up("Eyeglasses", systems, judge, 70, 1_600, SIZE)  # type: ignore[arg-type]
    assert found is not None
    assert found.by_system["exact"] == found.exact
    assert found.exact.inside > 20 * found.exact.outside
    assert found.by_system["as they are"].others == found.by_system["as they are"].inside == 0
    inverted = found.by_system["inverted"]
    assert inverted.outside > 0.1
    assert inverted.others > 2 * found.exact.others
    assert inverted.most[0] in {factor.name for factor in FACTORS}
    assert measure_on_made_up("Oval_Face", systems, judge, 70, 1_600, SIZE) is None  # type: ignore[arg-type]


def test_exact_edits_move_their_own_factor_the_way_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_made_up, "LEAST_R2", -9.0)
    with torch.no_grad():
        found = measure_on_made_up("Wearing_Hat", {}, Coarse(), 70, 1_600, SIZE)  # type: ignore[arg-type]
    assert found is not None
    assert found.exact.own > 0.8
    assert found.exact.most[0] != "hat"


def test_factors_are_read_if_features_tell_them() -> None:
    """At 8 x 8 one sees how dark skin is and where a head turns, and not where its eyes look."""
    with torch.no_grad():
        readout = fitted_readout(Coarse(), 1_600, SIZE)  # type: ignore[arg-type]
        some = sample_factors(200, 5, images_per_identity=1)
        read = readout(to_signed(torch.from_numpy(render(some, SIZE).images)))
    assert {"skin_tone", "yaw"} <= set(readout.names)
    assert not {"gaze_x", "freckles"} & set(readout.names)
    for place, name in enumerate(readout.names):
        assert np.corrcoef(read[:, place].numpy(), some[name])[0, 1] > 0.6


def parts() -> dict[str, Part]:
    return {"l2m_gan": l2m_part(tiny_network()), "attributes": attribute_part(tiny_judge())}


def test_a_whole_evaluation(faces: Faces) -> None:
    rivals = {"grey": Rival(("Smiling",), brighter)}
    report = evaluate_beside(FEW, faces, parts(), rivals, CPU)
    titles = [table.title for table in report.tables]
    assert titles[:2] == ["Smiling (tables 1 and 3)", "Male (tables 1 and 3)"]
    assert [row[0] for row in report.tables[0].rows] == [UNEDITED, OURS, "grey"]
    assert [row[0] for row in report.tables[1].rows] == [UNEDITED, OURS]
    assert report.tables[0].paper
    assert not report.tables[1].paper
    assert all(len(row) == len(table.columns) for table in report.tables for row in [*table.rows, *table.paper])
    assert all("grey" in claim.statement for claim in report.claims)
    assert set(report.sheets) == {"edits-Smiling", "edits-Male"}
    assert len(report.sheets["edits-Smiling"].columns) == 3
    for row in report.sheets["edits-Smiling"].rows:
        assert row.pictures[2].mean() == pytest.approx(0.5 if row.name == ("added",) else -0.5)
    assert report.pictures["strips"].shape == (2, 6, 3, SIZE, SIZE)
    assert evaluate_beside(FEW, faces, parts(), rivals, CPU).tables == report.tables


def test_a_model_s_landmarks_are_drawn_with(faces: Faces) -> None:
    with_filter = {"l2m_gan": l2m_part(tiny_network(high_pass=1.0)), "attributes": attribute_part(tiny_judge())}
    with_landmarks = with_filter | {"stargan2_landmarks": landmarks_part(tiny_landmarks())}
    few = EvaluationConfig(least_faces=2, made_up=0, shown=3)
    with torch.no_grad():
        plain, filtered = (measure(few, faces, some, {}, CPU) for some in (with_filter, with_landmarks))
        wanted = reconstruction_of(load(with_landmarks, CPU), faces, CPU)
    assert filtered.reconstruction == pytest.approx(wanted)
    assert plain.reconstruction != pytest.approx(wanted, rel=1e-3)


def test_what_cannot_be_evaluated_is_named(faces: Faces) -> None:
    with pytest.raises(WrongUsage, match="no l2m_gan among the models: train one first"):
        evaluate_beside(FEW, faces, {"attributes": parts()["attributes"]}, {}, CPU)
    with pytest.raises(WrongUsage, match="a rival cannot be named 'L2M-GAN'"):
        evaluate_beside(FEW, faces, parts(), {OURS: unedited(TWO)}, CPU)
    with pytest.raises(WrongUsage, match="of Smiling, Male the data has none with 50 training and test faces"):
        evaluate_beside(EvaluationConfig(least_faces=50), faces, parts(), {}, CPU)
    with pytest.raises(WrongUsage, match=r"made_up must be at least 0, got -1\nshown must be at least 1"):
        EvaluationConfig(made_up=-1, shown=0)


def test_factors_move_the_way_that_was_asked_for_or_either_way() -> None:
    """Two faces, one of which is to lose the attribute. Factors are the means of the colours."""
    readout = Readout(("smile", "age", "yaw"), torch.eye(3, dtype=torch.float64), Bright())  # type: ignore[arg-type]
    before = torch.zeros(2, 3, SIZE, SIZE)
    wanted, made = before.clone(), before.clone()
    wanted[:, :, :4] = 1.0
    made[0], made[1] = (torch.tensor(colour)[:, None, None] for colour in ([0.5, 0.2, -0.3], [-0.3, -0.4, 0.3]))
    moved = Comparison(before, wanted, torch.tensor([1.0, -1.0]), "smile", readout).moved(made)
    assert moved.own == pytest.approx((0.5 + 0.3) / 2)
    assert moved.others == pytest.approx((0.3 + 0.3) / 2)
    assert moved.most == ("age", pytest.approx(0.3)) or moved.most == ("yaw", pytest.approx(0.3))
    assert moved.inside == pytest.approx(moved.outside) == pytest.approx((1.0 / 3 + 1.0 / 3) / 2)


def edits_of(fid: float, accuracy: float) -> Edits:
    return Edits(fid=(fid, fid), accuracy=(accuracy, accuracy), identity=(1.0, 1.0), others=(0.0, 0.0))


def moved_of(others: float) -> Moved:
    return Moved(inside=0.1, outside=0.1, own=1.0, others=others, most=("age", others))


@pytest.mark.parametrize(
    ("fid", "accuracy", "others", "holds"),
    [
        (10.0, 0.9, 0.2, [True, True]),
        (10.0, 0.91, 0.2, [False, True]),  # more often seen than ours
        (9.2, 0.9, 0.2, [True, True]),  # 1.1 times this is more than ours
        (9.0, 0.9, 0.2, [False, True]),
        (10.0, 0.9, 0.1, [True, False]),
        (10.0, 0.9, 0.05, [True, False]),
    ],
)
def test_claims_hold_if_ours_is_as_good(fid: float, accuracy: float, others: float, holds: list[bool]) -> None:
    results = Results(
        edits={"Smiling": {UNEDITED: edits_of(1.0, 0.1), OURS: edits_of(10.0, 0.9), "theirs": edits_of(fid, accuracy)}},
        made_up={
            "Smiling": MadeUp(
                {UNEDITED: moved_of(0.0), OURS: moved_of(0.1), "theirs": moved_of(others)}, moved_of(0.05), 3
            )
        },
        reconstruction=0.1,
        sheets={},
        strips=torch.zeros(1, 1, 3, 8, 8),
    )
    assert [claim.holds for claim in report_of(results).claims] == holds
