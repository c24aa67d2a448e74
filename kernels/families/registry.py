"""The families that kernels know, and the precisions of eps."""

from ..arithmetic.triangular import next_four
from ..jit import routine
from ..random import normal, normal_float32
from . import full_rank, low_rank, mean_field, product

FAMILIES = {"mean_field": mean_field, "low_rank": low_rank, "full_rank": full_rank, "product": product}
DRAWS = {"float64": normal, "float32": normal_float32}  # the precision of eps; all else is float64


@routine
def padded_rows(dim, shape):
    """Rows of eps that a surrogate is made of, in blocks of four; a family may have ``basis_rows`` of its own."""
    return next_four(dim)
