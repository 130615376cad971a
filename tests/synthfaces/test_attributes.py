import numpy as np
import pytest

from raypipe.synthfaces import attributes, sample_factors
from tests.shared_files import data

FACES = sample_factors(2000, seed=5, images_per_identity=1)
LABELS = attributes(FACES)


@pytest.mark.parametrize(
    ("attribute", "factor", "threshold"),
    [
        ("Smiling", "smile", 0.3),
        ("Mouth_Slightly_Open", "mouth_open", 0.3),
        ("Eyeglasses", "eyeglasses", 0.5),
        ("Male", "masculinity", 0.5),
        ("Mustache", "moustache", 0.5),
        ("Bald", "baldness", 0.5),
        ("Wearing_Hat", "hat", 0.5),
        ("Wearing_Lipstick", "lipstick", 0.5),
        ("Heavy_Makeup", "eye_makeup", 0.5),
        ("Big_Nose", "nose_width", 0.65),
        ("Bushy_Eyebrows", "brow_thickness", 0.65),
        ("Arched_Eyebrows", "brow_arch", 0.6),
    ],
)
def test_an_attribute_is_its_factor_above_a_threshold(attribute: str, factor: str, threshold: float) -> None:
    np.testing.assert_array_equal(LABELS[attribute], FACES[factor] > threshold)
    assert 0 < LABELS[attribute].sum() < len(FACES)


def test_hair_has_exactly_one_colour_and_bald_heads_none() -> None:
    colours = sum(LABELS[name].astype(int) for name in ("Black_Hair", "Brown_Hair", "Blond_Hair", "Gray_Hair"))
    np.testing.assert_array_equal(colours, np.where(LABELS["Bald"], 0, 1))
    assert not np.any(LABELS["Bald"] & (LABELS["Bangs"] | LABELS["Wavy_Hair"] | LABELS["Straight_Hair"]))


def test_no_beard_means_none_of_any_kind() -> None:
    any_hair = (FACES["beard"] > 0.5) | (FACES["goatee"] > 0.5) | (FACES["moustache"] > 0.5)
    np.testing.assert_array_equal(LABELS["No_Beard"], ~any_hair)
    assert not np.any(LABELS["No_Beard"] & (LABELS["Mustache"] | LABELS["Goatee"]))


def test_names_are_celebas() -> None:
    header = (data("celeba10k") / "list_attr_celeba.txt").read_text().splitlines()[1].split()
    assert set(LABELS) <= set(header)
    assert list(LABELS) == [name for name in header if name in LABELS]
