"""Element-wise operations: how each is written, and what NumPy computes for data."""

import numpy as np
from scipy import special

INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "eq": "==", "ne": "!=", "and": "&", "or": "|",
}  # fmt: skip
NUMPY_NAMES = (
    "exp", "log", "log1p", "expm1", "sqrt", "tanh", "sin", "cos", "tan", "sinh", "cosh", "floor", "ceil", "sign",
    "isnan", "isinf", "log2", "log10",
)  # fmt: skip
CALLS = {name: f"np.{name}" for name in NUMPY_NAMES}
CALLS |= {
    "abs": "abs",
    "atan": "np.arctan",
    "atan2": "np.arctan2",
    "max": "np.maximum",
    "min": "np.minimum",
    "not": "np.logical_not",
    "where": "vi.where",
    "logaddexp": "vi.logaddexp",
    "softplus": "vi.softplus",
    "expit": "vi.expit",
    "log1mexp": "vi.log1mexp",
    "lgamma": "vi.gammaln",
    "digamma": "vi.digamma",
    "erf": "vi.erf",
    "erfc": "vi.erfc",
    "erfcx": "vi.erfcx",
    "log_ndtr": "vi.log_ndtr",
}
NUMBERS_ONLY = {"gamma": "math.gamma", "asin": "math.asin", "acos": "math.acos"}  # no array form
CALLS |= NUMBERS_ONLY
COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne"}
BOOLEAN = COMPARISONS | {"and", "or", "not", "isnan", "isinf"}
ELEMENTWISE = set(INFIX) | set(CALLS) | {"neg", "powi", "tofloat"}
# worth computing once rather than at each place that a gather reads
COSTLY = {"exp", "log", "log1p", "expm1", "expit", "softplus", "log1mexp", "tanh", "pow", "logaddexp", "lgamma",
          "digamma", "erf", "erfc", "erfcx", "log_ndtr", "gamma", "sin", "cos"}  # fmt: skip
# vectors that are written to memory, item by item or by a product, before they are read
WRITTEN = {"kept", "list", "cumsum", "scan", "cholesky", "solve", "product", "rows"}
NUMPY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "pow": np.power,
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "log2": np.log2, "log10": np.log10,
    "sqrt": np.sqrt, "abs": np.abs, "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "tanh": np.tanh,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2, "max": np.maximum, "min": np.minimum,
    "where": np.where, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal,
    "ne": np.not_equal, "and": np.logical_and, "or": np.logical_or, "not": np.logical_not, "isnan": np.isnan,
    "isinf": np.isinf, "logaddexp": np.logaddexp, "softplus": lambda x: np.logaddexp(0.0, x), "expit": special.expit,
    "log1mexp": lambda x: np.log1p(-np.exp(x)), "lgamma": special.gammaln, "digamma": special.digamma,
    "gamma": special.gamma, "erf": special.erf, "erfc": special.erfc, "erfcx": special.erfcx,
    "log_ndtr": special.log_ndtr, "tofloat": lambda x: np.asarray(x, float),
}  # fmt: skip
