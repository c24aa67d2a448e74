"""How a product of factors is told to the kernels: runs of equal factors, and a row of numbers for each row of a tile.

``loc`` holds the number of runs and then, for each, its kind, its first z, its number of factors, its first row and the
rows of a factor; tables of quantile functions follow.  ``scale`` has the rows of numbers.
"""

import numpy as np

from ..jit import routine

GAUSSIAN, BERNOULLI, CATEGORICAL, GAMMA, BETA, DIRICHLET, POISSON, LOG_NORMAL, DELTA, FULL_RANK = range(10)
RUN = 5  # numbers that describe one
KIND, FIRST, COUNT, ROW, ROWS = range(RUN)
COLUMNS = 7
NORMALISER = 0  # of every kind: what -log q has beside what is added for each draw
CENTRE, SPREAD = 1, 2  # of a Gaussian
CUT, PROBABILITY, IF_ONE, IF_ZERO = 1, 2, 3, 4  # of a Bernoulli factor, the last two -log q
# Of a category the same but for IF_ONE, which is -log of its probability less that of the last


@routine
def kind_of(loc, i):
    """The kind of the factor that row i is of."""
    kind = np.int64(GAUSSIAN)
    for r in range(np.int64(loc[0])):
        run = loc[1 + RUN * r : 1 + RUN * (r + 1)]
        if i >= np.int64(run[ROW]):
            kind = np.int64(run[KIND])
    return kind
