"""Handwritten digits as bits: 1797 images of 8 x 8 pixels, those of at least half ink.

A copy, reduced to one bit a pixel, of the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and
C. Kaynak, UCI Machine Learning Repository, 1998, https://archive.ics.uci.edu/dataset/80; CC BY 4.0), as scikit-learn
has it: a pixel of 0 to 16 is on from 8.
"""

import math
import pathlib
from typing import NamedTuple

import numpy as np

from ..results import with_error

PIXELS = 64


class Images(NamedTuple):
    """Bits (n, 64) as 0.0 and 1.0, and the digit that each image shows."""

    bits: np.ndarray
    digit: np.ndarray


def digits() -> tuple[Images, Images]:
    """(1438 images to learn from, 359 held out, which are every fifth)"""
    with np.load(pathlib.Path(__file__).parent / "data" / "digits.npz") as file:
        bits, digit = np.unpackbits(file["bits"], axis=1).astype(float), file["digit"]
    out = np.arange(len(bits)) % 5 == 4
    return Images(bits[~out], digit[~out]), Images(bits[out], digit[out])


def log_odds(bits: np.ndarray) -> np.ndarray:
    """Of each pixel's mean, which is kept within 0.01 and 0.99, as some pixels never change."""
    p = np.clip(bits.mean(axis=0), 0.01, 0.99)
    return np.log(p / (1.0 - p))


def mosaic(images: np.ndarray, columns: int) -> np.ndarray:
    """Images of 64 pixels as one picture, by rows, with a margin about each."""
    framed = np.pad(images.reshape(-1, columns, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
    return framed.swapaxes(1, 2).reshape(-1, 10 * columns)


def mean(values: np.ndarray) -> str:
    """The mean over images and its standard error."""
    return with_error(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)))
