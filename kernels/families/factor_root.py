"""What the root of a covariance with factors is made of: B, V and r, for Adam in a routine, and in NumPy."""

import math

import numpy as np

from ..arithmetic.primitives import fma
from ..arithmetic.triangular import next_four
from ..jit import routine
from .factors import OWN, SECTIONS, SPREAD, VECTORS, padded_rank, sections

MOST_SWEEPS, ORTHOGONAL = 40, 1e-15  # of rotations; the cosine of two columns that need none


@routine
def orthogonalise(scale, dim):
    """B and V from A at the place of B, by rotations of two columns at a time (one-sided Jacobi: Hestenes 1958)."""
    rank = padded_rank(scale.shape)
    size, (first, second, _, _, _) = len(scale) - rank, sections(scale.shape)
    for a in range(rank):
        for b in range(rank):
            scale[size + a, second + b] = 1.0 if a == b else 0.0
    for _ in range(MOST_SWEEPS):
        turned = 0
        for a in range(rank - 1):
            for b in range(a + 1, rank):
                left = right = both = 0.0
                for i in range(dim):
                    x, y = scale[i, first + a], scale[i, first + b]
                    left, right, both = fma(x, x, left), fma(y, y, right), fma(x, y, both)
                if abs(both) > ORTHOGONAL * math.sqrt(left) * math.sqrt(right):
                    turned += 1
                    ratio = 0.5 * (right - left) / both
                    tangent = math.copysign(1.0, ratio) / (abs(ratio) + math.sqrt(1.0 + ratio * ratio))
                    cosine = 1.0 / math.sqrt(1.0 + tangent * tangent)
                    turn(scale, 0, dim, first + a, first + b, cosine, cosine * tangent)
                    turn(scale, size, size + rank, second + a, second + b, cosine, cosine * tangent)
        if turned == 0:
            break


@routine
def turn(matrix, start, end, a, b, cosine, sine):
    """Rotate two columns between two rows."""
    for i in range(start, end):
        x, y = matrix[i, a], matrix[i, b]
        matrix[i, a], matrix[i, b] = fma(-sine, y, cosine * x), fma(cosine, y, sine * x)


@routine
def derive(scale, dim):
    """All that follows from the scale, A, B and V."""
    rank = padded_rank(scale.shape)
    size, (first, second, third, fourth, _) = len(scale) - rank, sections(scale.shape)
    r = np.empty(rank)
    for k in range(rank):
        total = 1.0
        for i in range(dim):
            total = fma(scale[i, first + k], scale[i, first + k], total)
        r[k] = math.sqrt(total)
    for a in range(rank):
        for b in range(rank):
            scale[size + a, first + b] = scale[size + a, second + b] / r[b]
            scale[size + a, third + b] = r[a] if a == b else 0.0
            scale[size + a, fourth + b] = 1.0 / (r[a] + r[b])
    for i in range(dim):
        own = 1.0
        for k in range(rank):
            total = scale[i, first + k]
            own = fma(-total / r[k], total / r[k], own)
            scale[i, second + k] = scale[i, SPREAD] * total / (1.0 + r[k])
            scale[i, third + k] = -total / (r[k] * (1.0 + r[k]))
            mixed = 0.0
            for b in range(rank):
                mixed = fma(scale[i, first + b] / r[b], scale[size + k, first + b], mixed)
            scale[i, fourth + k] = mixed
        scale[i, OWN] = own


def root(scale, factors):
    """B, r and V."""
    left, values, right = np.linalg.svd(factors / scale[:, None], full_matrices=False)
    return left * values, np.hypot(1.0, values), right.T


def padded(loc, scale, factors):
    """loc and scale as the kernels take them."""
    (dim, rank), size = factors.shape, next_four(len(loc))
    even = rank + rank % 2
    wide_loc, matrix = np.zeros(size), np.zeros((size + even, VECTORS + SECTIONS * even))
    first, second, third, fourth, fifth = (slice(start, start + rank) for start in sections(matrix.shape))
    columns, r, turns = root(scale, factors)
    wide_loc[:dim], matrix[dim:size, SPREAD], below = loc, 1.0, matrix[size : size + rank]
    matrix[:dim, SPREAD], matrix[:dim, OWN] = scale, 1.0 - np.sum((columns / r) ** 2, axis=1)
    matrix[:dim, first], matrix[:dim, second] = columns, scale[:, None] * columns / (1.0 + r)
    matrix[:dim, third], matrix[:dim, fourth] = -columns / (r * (1.0 + r)), (columns / r**2) @ turns.T
    matrix[:dim, fifth] = factors / scale[:, None]
    below[:, first], below[:, second], below[:, third] = turns / r, turns, np.diag(r)
    below[:, fourth] = 1.0 / (r[:, None] + r)
    if even > rank:  # a factor of zeros
        matrix[-1, third.stop] = 1.0
    return wide_loc, matrix
