"""CelebA's 0/1 attributes as thresholds on factors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raypipe.synthfaces.factors import Factors

Labels = dict[str, npt.NDArray[np.bool_]]

PRESENT = 0.5
"""Things that are there or not are there above this."""


def attributes(factors: Factors) -> Labels:
    """CelebA's names -> bool [n], in alphabetical order.

    A hair colour needs hair to be seen on, so bald heads have none; grey wins over the natural colour.
    """
    f = factors
    has_hair = f["baldness"] <= PRESENT
    natural = has_hair & (f["hair_grey"] <= PRESENT)
    shaved = (f["beard"] <= PRESENT) & (f["goatee"] <= PRESENT) & (f["moustache"] <= PRESENT)
    return {
        "5_o_Clock_Shadow": (f["stubble"] > PRESENT) & (f["beard"] <= PRESENT),
        "Arched_Eyebrows": f["brow_arch"] > 0.6,
        "Bags_Under_Eyes": f["age"] > 0.7,
        "Bald": ~has_hair,
        "Bangs": has_hair & (f["bangs"] > PRESENT),
        "Big_Lips": f["lip_fullness"] > 0.65,
        "Big_Nose": f["nose_width"] > 0.65,
        "Black_Hair": natural & (f["hair_lightness"] < 0.3),
        "Blond_Hair": natural & (f["hair_lightness"] > 0.7),
        "Brown_Hair": natural & (f["hair_lightness"] >= 0.3) & (f["hair_lightness"] <= 0.7),
        "Bushy_Eyebrows": f["brow_thickness"] > 0.65,
        "Chubby": f["chubbiness"] > 0.75,
        "Eyeglasses": f["eyeglasses"] > PRESENT,
        "Goatee": f["goatee"] > PRESENT,
        "Gray_Hair": has_hair & (f["hair_grey"] > PRESENT),
        "Heavy_Makeup": f["eye_makeup"] > PRESENT,
        "High_Cheekbones": f["cheekbones"] > PRESENT,
        "Male": f["masculinity"] > PRESENT,
        "Mouth_Slightly_Open": f["mouth_open"] > 0.3,
        "Mustache": f["moustache"] > PRESENT,
        "Narrow_Eyes": f["eye_open"] < 0.3,
        "No_Beard": shaved,
        "Oval_Face": f["jaw_width"] < 0.4,
        "Pale_Skin": f["skin_tone"] < 0.15,
        "Receding_Hairline": f["hairline"] > 0.75,
        "Rosy_Cheeks": f["blush"] > PRESENT,
        "Smiling": f["smile"] > 0.3,
        "Straight_Hair": has_hair & (f["hair_wave"] < 0.4),
        "Wavy_Hair": has_hair & (f["hair_wave"] > 0.6),
        "Wearing_Earrings": f["earrings"] > PRESENT,
        "Wearing_Hat": f["hat"] > PRESENT,
        "Wearing_Lipstick": f["lipstick"] > PRESENT,
        "Young": f["age"] < PRESENT,
    }
