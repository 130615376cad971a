import numpy as np
import pytest

from raypipe.errors import WrongUsage
from raypipe.synthfaces import FACTORS, IDENTITY_FACTORS, LOOK_FACTORS, Factors, attributes, sample_factors


def _correlation(factors: Factors, first: str, second: str) -> float:
    labels = attributes(factors)
    return float(np.corrcoef(labels[first], labels[second])[0, 1])


@pytest.mark.parametrize("correlated", [False, True])
def test_a_face_does_not_depend_on_what_is_drawn_with_it(correlated: bool) -> None:
    whole = sample_factors(50, seed=3, images_per_identity=3, correlated=correlated)
    tail = sample_factors(19, seed=3, start=31, images_per_identity=3, correlated=correlated)
    np.testing.assert_array_equal(whole.values[31:], tail.values)
    np.testing.assert_array_equal(whole.identity[31:], tail.identity)
    np.testing.assert_array_equal(tail.index, np.arange(31, 50))


def test_another_seed_gives_other_faces() -> None:
    assert not np.any(np.all(sample_factors(20, seed=0).values == sample_factors(20, seed=1).values, axis=1))


@pytest.mark.parametrize("correlated", [False, True])
def test_pictures_of_one_person_share_identity_and_nothing_else(correlated: bool) -> None:
    faces = sample_factors(40, seed=0, images_per_identity=4, correlated=correlated)
    people = faces.values.reshape(10, 4, -1)
    for column, factor in enumerate(FACTORS):
        spread = np.ptp(people[:, :, column], axis=1)
        assert np.all(spread == 0) if factor.name in IDENTITY_FACTORS else np.all(spread > 0), factor.name
    assert len(np.unique(people[:, 0], axis=0)) == 10
    assert set(IDENTITY_FACTORS) | set(LOOK_FACTORS) == {factor.name for factor in FACTORS}


@pytest.mark.parametrize("correlated", [False, True])
def test_factors_stay_in_their_ranges_and_fill_them(correlated: bool) -> None:
    faces = sample_factors(4000, seed=0, images_per_identity=1, correlated=correlated)
    for factor in FACTORS:
        values, width = faces[factor.name], factor.high - factor.low
        assert factor.low <= values.min(), factor.name
        assert values.max() <= factor.high, factor.name
        assert np.ptp(values) > 0.9 * width, factor.name


def test_shares_are_kept_and_values_keep_clear_of_the_threshold() -> None:
    faces = sample_factors(20_000, seed=0, images_per_identity=1)
    for factor in FACTORS:
        if factor.share is not None:
            assert abs(np.mean(faces[factor.name] > 0.5) - factor.share) < 0.02, factor.name
            assert np.all(np.abs(faces[factor.name] - 0.5) >= 0.15 - 1e-6), factor.name


def test_factors_are_independent_unless_correlations_are_asked_for() -> None:
    values = sample_factors(20_000, seed=0, images_per_identity=1).values
    off_diagonal = np.corrcoef(values, rowvar=False) - np.eye(len(FACTORS))
    assert np.max(np.abs(off_diagonal)) < 5 / np.sqrt(20_000)


@pytest.mark.parametrize(
    ("first", "second", "sign"),
    [
        ("Male", "Mustache", 1),
        ("Male", "Goatee", 1),
        ("Male", "No_Beard", -1),
        ("Male", "Wearing_Lipstick", -1),
        ("Male", "Heavy_Makeup", -1),
        ("Young", "Gray_Hair", -1),
        ("Young", "Eyeglasses", -1),
        ("Wearing_Lipstick", "Heavy_Makeup", 1),
        ("Smiling", "Mouth_Slightly_Open", 1),
    ],
)
def test_the_switch_correlates_what_celebrities_correlate(first: str, second: str, sign: int) -> None:
    alone = sample_factors(10_000, seed=0, images_per_identity=1)
    together = sample_factors(10_000, seed=0, images_per_identity=1, correlated=True)
    assert abs(_correlation(alone, first, second)) < 0.05
    assert sign * _correlation(together, first, second) > 0.15


def test_correlated_women_have_no_beards() -> None:
    labels = attributes(sample_factors(10_000, seed=0, images_per_identity=1, correlated=True))
    assert np.all(labels["No_Beard"][~labels["Male"]])


def test_an_edit_changes_one_factor() -> None:
    faces = sample_factors(5, seed=0)
    smiling = faces.changed("smile", 1.0)
    assert np.all(smiling["smile"] == 1.0)
    different = np.flatnonzero(np.any(faces.values != smiling.values, axis=0))
    assert [FACTORS[column].name for column in different] == ["smile"]
    ramp = faces.changed("age", np.linspace(0, 1, 5).astype(np.float32))
    np.testing.assert_allclose(ramp["age"], [0, 0.25, 0.5, 0.75, 1])


def test_wrong_numbers_and_names_say_what_is_allowed() -> None:
    faces = sample_factors(2, seed=0)
    with pytest.raises(WrongUsage, match=r"smile=2.0 is outside \[-0.4, 1\]"):
        faces.changed("smile", 2.0)
    with pytest.raises(WrongUsage, match=r"'smiel' is not a factor; factors: .*smile"):
        faces["smiel"]
    with pytest.raises(WrongUsage, match="images_per_identity must be at least 1, got 0"):
        sample_factors(2, seed=0, images_per_identity=0)
    with pytest.raises(WrongUsage, match="seed must be at least 0, got -1"):
        sample_factors(2, seed=-1)
