"""The families that kernels know, and the precisions of eps."""

from ..random import normal, normal_float32
from . import full_rank, low_rank, mean_field, product

FAMILIES = {"mean_field": mean_field, "low_rank": low_rank, "full_rank": full_rank, "product": product}
DRAWS = {"float64": normal, "float32": normal_float32}  # the precision of eps; all else is float64
