"""What a figure of the gallery gives, and its colours."""

from collections.abc import Sequence
from typing import NamedTuple


class Drawn(NamedTuple):
    """What a figure says and what it rests on: a table as rows of text, the first of them its head."""

    caption: str
    numbers: Sequence[tuple[str, ...]]


P, REVERSE, FORWARD, GREY = "#4c5866", "#c2410c", "#1d6fb8", "#9aa5b1"
