"""A figure of each program, as ``gallery.py`` draws those of the lecture: on given axes, with a caption and numbers."""

import numpy as np

from ..results import with_error
from . import ising, mixture
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


def mean_field_of_spins(axes):
    """What mean field misses of the Ising model's log Z, and its magnetisation, by temperature."""
    couplings = np.sort(np.append(np.linspace(0.15, 0.6, 19), ising.CRITICAL))
    found = [ising.bound("spins", K, 10_000) for K in couplings]
    gaps = [ising.log_z(ising.SIDE, K) - each.elbo for K, each in zip(couplings, found, strict=True)]
    fine = np.linspace(0.15, 0.6, 1000)
    axes[0].plot(couplings, gaps, "o-", ms=3, color=REVERSE)
    axes[0].set_title("log Z - ELBO, nats a spin")
    axes[1].plot(couplings, [each.magnetisation for each in found], "o-", ms=3, color=REVERSE, label="mean field")
    axes[1].plot(fine, [ising.magnetisation(K) for K in fine], color=P, label="exact, of a large torus")
    axes[1].set_title("magnetisation")
    axes[1].legend(frameon=False)
    for ax in axes:
        ax.axvline(ising.CRITICAL, color=GREY, ls="--")
        ax.set_xlabel("coupling K")
    rows = zip(couplings, gaps, found, strict=True)
    numbers = [(f"{K:.4f}", with_error(gap, each.error), f"{each.magnetisation:.3f}") for K, gap, each in rows]
    return Drawn(
        "The Ising model on a torus of 32 x 32 spins by independent Bernoulli factors, with Kaufman's exact log Z. "
        "Mean field magnetises at K = 0.25, the model at 0.4407 (dashed); it misses most just above its own onset.",
        [("K", "log Z - ELBO, nats a spin", "magnetisation of q"), *numbers],
    )


FIGURES = {
    "clusters": ("A mixture of Gaussians", clusters, 1, (6, 4)),
    "mean_field_of_spins": ("The Ising model by mean field", mean_field_of_spins, 2, (10, 4)),
}
