"""A number type of SIMD lanes: the user's one-draw function, compiled with z typed as lanes, computes 32 draws at once.

``types``        what the values are: Lanes (a register of draws), LaneMask, and the one-dimensional sequences of Lanes
``registry``     how a function is taught to lanes
``operators``    the entries: arithmetic, comparisons, elementary functions, each with its SIMD code and derivative
``special``      lgamma and digamma, erf and its kin, sin and cos
``powers``       quotients and powers
``sequence``     z[j], slices, gathers, iteration
``conversions``  np.float64; ``printing`` print, of one draw
``index``        int(z[i]) as an index, and ``indexed_items`` what it reads
``lane_matrix``  parameters with two axes; ``matrix_parameters`` their products, ``whole_matrix`` their sums
``composite``    functions that are formulas of the others, such as log densities
``expression``   lazy element-wise expressions of sequences and arrays
``reduction``    sums, extremes, means
``settled``      cumsum, and copies of expressions that are used twice
``products``     dot products, matrix times z
``matrix``       the matrix products themselves, compiled once
``summed_matrix``   products with a matrix whose gradient is summed over lanes; ``outer_sums`` those sums
``rows_in_order``   products with one row after the other, a block of rows at a time

and for derivatives, by reverse mode:

``recorded_types``     the types that take the place of Lanes: Leaf, Expression, Recorded
``recorded_arithmetic``       their arithmetic
``partials``        how an expression's partial derivatives are multiplied up and go to the tape
``recorded_sums``     their sums and products
``fused_sums``        sums of element-wise expressions as one record
``shared_items``, ``array_lifetime``   one entry for an item used twice; data that records point at
``recorded_arrays``       arrays that a density fills with them item by item
``tape``         what they leave in memory, and the way back

Importing the package registers the types with Numba; code without Lanes compiles as before.
"""

from ..arithmetic import log_densities
from . import (
    composite,
    conversions,
    expression,
    index,
    indexed_items,
    matrix_parameters,
    operators,
    powers,
    printing,
    products,
    recorded_arithmetic,
    reduction,
    sequence,
    settled,
    special,
    whole_matrix,
)
from .lane_matrix import LaneMatrix
from .recorded_types import Leaf
from .summed_matrix import SummedMatrix
from .types import LaneMask, Lanes, LaneVector

__all__ = [
    "LaneMask",
    "LaneMatrix",
    "LaneVector",
    "Lanes",
    "SummedMatrix",
    "Leaf",
    "composite",
    "conversions",
    "expression",
    "index",
    "indexed_items",
    "matrix_parameters",
    "operators",
    "powers",
    "printing",
    "products",
    "recorded_arithmetic",
    "reduction",
    "sequence",
    "settled",
    "special",
    "whole_matrix",
]

for _name in log_densities.__all__:
    _function = getattr(log_densities, _name)
    composite.compile_itself(_function) if _name == "lkj_cholesky_logpdf" else composite.compose(_function)
