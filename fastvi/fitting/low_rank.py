"""Low-rank fits: the mean-field optimum, the directions in which it is too narrow, and L-BFGS from there.

In units of the mean-field optimum the target's precision A has a diagonal of ones; where an eigenvalue is below 1 the
posterior is wider than q along its eigenvector by 1/sqrt(eigenvalue), which is what a factor can give it.  Lanczos'
iteration finds the smallest ones from products with A, each a difference of gradients at fixed draws.  The ELBO over
z = loc + scale eps + factors eta has a gradient in all parameters (Ong, Nott and Smith 2018, section 3), and its draws
are added to as those of a mean-field fit.
"""

import math

import numpy as np

from ..families.low_rank import LowRankGaussian
from ..families.mean_field import MeanFieldGaussian
from ..rng import CLIMB
from .coordinates import Coordinates
from .factor_coordinates import FactorCoordinates
from .fitter import CONVERGED, NOWHERE_FINITE
from .fixed_draws import FixedDraws
from .lbfgs import FIRST_RISE, LBFGS
from .matched_draws import least_draws, matched_draws, most_draws
from .slopes import Slopes, in_range
from .stage import Stage
from .start import standard_normals

MOST_RANK = 10  # of a fit that is not told
LOOSER = 5.0  # tolerances to which the mean-field optimum is wanted
LOOKED, STEP = 64, 1e-3  # draws behind a product with A; the largest entry's move, in standard deviations
NARROWEST, PAYS = 1e-4, 0.1  # least eigenvalue; of the tolerance, what a factor must promise to gain
DENSE, ACCURATE, LEAST = 64, 0.02, 0.1  # dimensions up to which A is written out; of eigenvalues; of a factor
FIRST_WIDE, MATCHED = 64, 256  # draws of the first stage with factors; widths up to which all their moments match


class LowRank(LBFGS):
    """Stages of a mean-field fit, and then of one with as many factors as pay, at most those that the start has."""

    def __init__(self, target, q: LowRankGaussian, key, tolerance, max_samples, on, derived=True) -> None:
        narrow = MeanFieldGaussian(q.loc, q.stddev)
        super().__init__(target, narrow, key, tolerance, max_samples, on, derived)
        self.given, self.wanted = q, tolerance
        self.most = most_draws(q.dim + q.rank, 8 * q.rank)
        self.state.update(factors=np.zeros((q.dim, 0)))

    @property
    def q(self) -> LowRankGaussian:
        s = self.state
        factors = s["factors"] if s["factors"].size else np.zeros((len(s["loc"]), 1))
        return LowRankGaussian(s["loc"], s["scale"], factors)

    @property
    def narrow(self) -> MeanFieldGaussian:
        """Without factors."""
        return MeanFieldGaussian(self.state["loc"], self.state["scale"])

    @property
    def wide(self) -> bool:
        """Whether there are factors yet."""
        return self.state["factors"].size > 0

    @property
    def width(self) -> int:
        """Of a draw: eps, and eta for each factor."""
        return sum(self.state["factors"].shape)

    def begin(self) -> tuple[float, str]:
        if np.any(self.given.factors):
            return self.first_stage(self.given)
        return super().begin()

    def round(self) -> tuple[float, str]:
        self.tolerance = self.wanted if self.wide else LOOSER * self.wanted
        value, end = super().round()
        if end != CONVERGED or self.wide:
            return value, end
        self.tolerance = self.wanted
        return self.first_stage(self.widened())

    def widened(self) -> LowRankGaussian:
        """The mean-field optimum with factors along the directions in which the posterior is wider."""
        q = self.narrow
        values, vectors = widest(self.slopes, q, self.fresh(LOOKED), self.given.rank, self.key)
        values = np.clip(values, NARROWEST, 1.0)
        pays = 0.5 * (values - 1.0 - np.log(values)) > PAYS * self.tolerance
        pays[0] = True
        lengths = np.sqrt(np.maximum(1.0 / values - 1.0, LEAST**2))
        return LowRankGaussian(q.loc, q.scale, q.scale[:, None] * (vectors * lengths)[:, pays])

    def first_stage(self, q: LowRankGaussian) -> tuple[float, str]:
        """From where no draws have been optimised over, so that its rise tells nothing of a blur."""
        s = self.state
        s.update(factors=q.factors)
        count = least_draws(self.width) if self.width <= MATCHED else max(FIRST_WIDE, 4 * q.rank)
        stage = Stage(FixedDraws(self.slopes, self.fresh(count)), FactorCoordinates(q), self.tolerance, 1.0)
        if not math.isfinite(stage.optimised(FIRST_RISE).value):
            return stage.value, NOWHERE_FINITE
        self.keep(stage.q)
        s.update(before=count, count=2 * count, gain=math.nan, blur=math.nan)
        return stage.value, ""

    # ---- what stages are made of

    def about(self):
        return FactorCoordinates(self.q) if self.wide else Coordinates(self.narrow)

    def keep(self, q) -> None:
        super().keep(q)
        if isinstance(q, LowRankGaussian):
            self.state.update(factors=q.factors)

    def matched(self, first: int, count: int) -> np.ndarray:
        whole, rank = self.wide and self.width <= MATCHED, self.state["factors"].shape[1]
        return matched_draws(self.key, first, count, self.width, covariance=whole, last=rank)


def widest(slopes: Slopes, q: MeanFieldGaussian, eps: np.ndarray, rank: int, key) -> tuple[np.ndarray, np.ndarray]:
    """The smallest eigenvalues of A in units of q, from the least on, and their eigenvectors (dim, rank)."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    def product(v):
        v = np.ravel(v)
        move = STEP / np.max(np.abs(v)) * v
        up, down = (q.scaled_slopes(slopes(q.transform(eps + sign * move), q.stddev)[1]) for sign in (1.0, -1.0))
        found = np.mean(down - up, axis=0) * (np.max(np.abs(v)) / (2.0 * STEP))
        return np.where(np.isfinite(found), found, 0.0)

    if q.dim <= max(DENSE, rank):
        matrix = np.stack([product(row) for row in np.eye(q.dim)])
        with in_range():
            values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
        return values[:rank], vectors[:, :rank]
    start = standard_normals(key.child(CLIMB, 0), 1, q.dim, first=1)
    operator = LinearOperator((q.dim, q.dim), matvec=product, dtype=np.float64)
    try:
        values, vectors = eigsh(operator, rank, which="SA", v0=start[0], tol=ACCURATE, maxiter=10 * rank)
    except ArpackNoConvergence as error:
        values, vectors = error.eigenvalues, error.eigenvectors
    if not len(values):
        return np.ones(1), start.T / np.linalg.norm(start)
    order = np.argsort(values)
    return values[order], vectors[:, order]
