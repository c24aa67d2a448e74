"""What a batch of local approximations gives."""

from dataclasses import dataclass

import numpy as np

from ..results import counted, with_error
from ..rng import Key


@dataclass(frozen=True, slots=True, eq=False)
class BatchEstimate:
    """ELBOs of N approximations, each of a row of data, with their gradients.

    Attributes
    ----------
    value, standard_error : ndarray (N,)
        in nats; an error is nan where there is one draw or the value is -inf
    loc_gradient, log_scale_gradient : ndarray (N, dim)
        nan where the value is -inf
    parameter_gradients, parameter_errors : tuple of ndarray
        of the sum over rows, each times its weight, by the model parameters asked for, and its standard errors
    num_samples : int
        draws of each approximation
    key : Key
        ``rng=estimate.key`` repeats it

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> def log_density(z, x):
    ...     return -0.5 * (z[0] - x) ** 2
    >>> target = vi.Target(log_density, 1, (np.array([1.0, 2.0]),))
    >>> found = vi.elbo_batch(target, np.zeros((2, 1)), np.ones((2, 1)), 8, rng=0)
    >>> found
    BatchEstimate(sum = -0.09 ± 0.84, 2 rows, 8 draws each)
    >>> found.loc_gradient.shape
    (2, 1)
    """

    value: np.ndarray
    standard_error: np.ndarray
    loc_gradient: np.ndarray
    log_scale_gradient: np.ndarray
    parameter_gradients: tuple[np.ndarray, ...]
    parameter_errors: tuple[np.ndarray, ...]
    num_samples: int
    key: Key

    def __repr__(self):
        error = float(np.sqrt(np.sum(self.standard_error**2)))
        total = with_error(float(np.sum(self.value)), error)
        return (
            f"BatchEstimate(sum = {total}, {counted(len(self.value), 'row')}, {counted(self.num_samples, 'draw')} each)"
        )
