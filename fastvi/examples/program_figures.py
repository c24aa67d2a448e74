"""A figure of each program, as ``gallery.py`` draws those of the lecture: on given axes, with a caption and numbers."""

import numpy as np

from ..results import with_error
from . import mixture
from .gallery import FORWARD, GREY, REVERSE, Drawn, P
from .iris import iris


def clusters(axes):
    """Fisher's irises by the best mixture of six Gaussians."""
    (ax,), (X, _) = axes, iris()
    optima = mixture.solve(20_000, most=2)
    cluster = optima[0].found.r.argmax(axis=1)
    used = np.unique(cluster)
    for k, colour in zip(used, (REVERSE, FORWARD, P, GREY, "black", "green"), strict=False):
        own = X[cluster == k]
        ax.plot(own[:, 2], own[:, 3], "o", ms=4, color=colour, label=f"{len(own)} flowers")
    ax.set_xlabel("length of the petal (cm)")
    ax.set_ylabel("its width (cm)")
    ax.legend(frameon=False)
    numbers: list[tuple[str, ...]] = [("clusters", "starts", "bound, closed form", "by elbo", "by elbo, z summed out")]
    for o in optima:
        shown = (with_error(e.value, e.standard_error) for e in (o.with_z, o.summed))
        numbers.append((str(o.clusters), str(o.starts), f"{o.found.bound:.6f}", *shown))
    return Drawn(
        "The best of 30 coordinate ascents for a Bayesian mixture of six Gaussians on Fisher's irises leaves four of "
        "its components empty: setosa is one cluster, versicolor and virginica another. Half of the starts end at "
        "three clusters, with a lower bound.",
        numbers,
    )


FIGURES = {"clusters": ("A mixture of Gaussians", clusters, 1, (6, 4))}
