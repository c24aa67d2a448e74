"""Products of factors of any kinds, by name or in a list."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from .base import Family, flat_parameters
from .blocks import Block
from .factors import Factors, slices
from .full_rank import FullRankGaussian
from .gaussian_block import FullRankBlock
from .gaussian_factors import GaussianBlock
from .mean_field import MeanFieldGaussian

GAUSSIANS = MeanFieldGaussian | FullRankGaussian


class Product(Factors):
    """Independent factors of any kinds side by side.  An instance never changes.

    Parameters
    ----------
    families : sequence of families, optional
        z holds them in this order
    **named : families
        the same with names: ``q["s"]`` is one again, and ``Target(log_density, q.latents, data)`` a density that takes
        them as arguments

    Raises
    ------
    TypeError, ValueError
        naming the factor

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> q = vi.Product(theta=vi.MeanFieldGaussian(np.zeros(2), np.ones(2)), s=vi.Bernoulli(logits=np.zeros(3)))
    >>> q.dim, q.latents
    (5, {'theta': (2,), 's': (3,)})
    >>> def log_density(s, theta):
    ...     return -np.sum(s) - 0.5 * np.sum((theta - s[:2]) ** 2)
    >>> found = vi.elbo_gradient(vi.Target(log_density, q.latents), q, 20_000, rng=0)
    >>> found.by_name["s"].shape
    (3,)
    """

    families: tuple[Family, ...]

    def __init__(self, families: Sequence[Family] | None = None, /, **named: Family) -> None:
        if (families is None) == (not named):
            raise TypeError("Product: expected a list of families, or families by name; one of the two, and not empty")
        if families is not None and (isinstance(families, Family) or not isinstance(families, Sequence)):
            raise TypeError(f"families: expected a list of families, got {checks.describe(families)}")
        parts = list(named.items()) if families is None else [(None, each) for each in families]
        if not parts:
            raise TypeError("families: expected at least one")
        for number, (name, each) in enumerate(parts):
            if not isinstance(each, GAUSSIANS | Factors) or isinstance(each, Product):
                place = name or f"families[{number}]"
                what = checks.describe(each)
                raise TypeError(
                    f"{place}: expected a MeanFieldGaussian, a FullRankGaussian or factors such as Bernoulli, "
                    f"got {what}"
                )
        self._adopt(tuple(each for _, each in parts), tuple(name for name, _ in parts))

    def _adopt(self, families, names) -> None:
        blocks, shapes = tuple(map(block_of, families)), tuple(map(shape_of, families))
        vars(self).update(families=families, names=names, blocks=blocks, shapes=shapes)

    @classmethod
    def _made(cls, families, names) -> Self:
        member = cls.__new__(cls)
        member._adopt(tuple(families), tuple(names))
        return member

    def __reduce__(self):
        return type(self)._made, (self.families, self.names)

    def __repr__(self):
        parts = zip(self.names, self.families, strict=True)
        return f"Product({', '.join(f'{name}={each!r}' if name else repr(each) for name, each in parts)})"

    def __getitem__(self, name: str | int) -> Family:
        """A factor by name, or by its number"""
        if isinstance(name, int):
            return self.families[name]
        if name not in self.names:
            known = ", ".join(repr(each) for each in self.names if each is not None)
            raise KeyError(f"{name!r}: expected one of {known or 'no names: this product was made of a list'}")
        return self.families[self.names.index(name)]

    def with_parameters(self, vector: ArrayLike) -> Self:
        """The product with these ``parameters``, factor by factor"""
        sizes = [len(each.parameters) for each in self.families]
        vector = flat_parameters(vector, sum(sizes))
        parts = zip(self.families, slices(sizes), strict=True)
        return self._made([each.with_parameters(vector[own]) for each, own in parts], self.names)


def block_of(family) -> Block:
    """A family as a run of factors."""
    if isinstance(family, MeanFieldGaussian):
        return GaussianBlock(family.loc, family.scale)
    if isinstance(family, FullRankGaussian):
        return FullRankBlock(family.loc[None], family.scale_tril[None])
    return family.blocks[0]


def shape_of(family) -> tuple[int, ...]:
    """What a density sees of it."""
    if isinstance(family, FullRankGaussian):
        return (family.dim,)
    return family.shape if isinstance(family, MeanFieldGaussian) else family.shapes[0]


def blocks_of(q) -> list[Block] | None:
    """The runs of a q, neighbours of one kind joined; None of one that is not made of factors."""
    if isinstance(q, GAUSSIANS):
        return [block_of(q)]
    if not isinstance(q, Factors):
        return None
    found: list[Block] = []
    for block in q.blocks:
        if found and type(found[-1]) is type(block) and found[-1].width == block.width and not block.is_point:
            block = block.with_natural(np.concatenate([found.pop().natural, block.natural]))
        found.append(block)
    return found


def alike(q, p) -> list[tuple[Block, Block]] | None:
    """The runs of q and p in pairs that cover the same z; None where their factors are not of the same kinds."""
    mine, other = blocks_of(q), blocks_of(p)
    if mine is None or other is None or len(mine) != len(other):
        return None
    pairs = [(a, b) if type(a) is type(b) else (wider(a), wider(b)) for a, b in zip(mine, other, strict=True)]
    same = all(type(a) is type(b) and (a.count, a.width) == (b.count, b.width) for a, b in pairs)
    return pairs if same else None


def wider(block: Block) -> Block:
    """The same factors as members of a family that contains theirs, where there is one."""
    return getattr(block, "wider", block)


def parameter_places(q: Family) -> dict[str, slice] | None:
    """Of a product with names, where the parameters of each factor are."""
    if not isinstance(q, Factors) or None in q.names:
        return None
    return {name: spot for name, spot in zip(q.names, q.parameter_spots, strict=True) if name is not None}


def z_places(q: Family) -> dict[str, tuple[slice, tuple[int, ...]]]:
    """Of a product with names, where each factor is in z, and its shape."""
    if not isinstance(q, Factors) or None in q.names:
        return {}
    triples = zip(q.names, q.spots, q.shapes, strict=True)
    return {name: (spot, shape) for name, spot, shape in triples if name is not None}


def value_of(z: np.ndarray, spot: slice, shape: tuple[int, ...]) -> np.ndarray:
    """Draws (n, dim) of one factor, (n, *shape)"""
    return z[:, spot].reshape(len(z), *shape)
