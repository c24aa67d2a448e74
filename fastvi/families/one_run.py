"""Families of one run of equal factors: how a member is made, copied and saved."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from .base import frozen
from .factors import Factors


class OneRun(Factors):
    """A family of one run of equal factors, made of what its block takes, and of the shape of the latents."""

    block_type: ClassVar[Any]

    def _adopt(self, arguments, shape) -> None:
        block = self.block_type(*map(frozen, arguments))
        vars(self).update(blocks=(block,), shapes=(tuple(shape),), names=(None,))

    @classmethod
    def _made(cls, arguments, shape) -> Self:
        member = cls.__new__(cls)
        member._adopt(arguments, shape)
        return member

    def _checked_natural(self, natural: ArrayLike) -> np.ndarray:
        """Natural parameters of the right shape, (factors, statistics of a factor)"""
        found, block = checks.real_array("natural", natural, 2), self.blocks[0]
        if found.shape != (block.count, block.width):
            raise ValueError(f"natural: expected shape {(block.count, block.width)}, got {found.shape}")
        return found

    def __reduce__(self):
        return type(self)._made, (self.blocks[0].arguments, self.shapes[0])
