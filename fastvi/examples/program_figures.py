"""A figure of each program, as ``gallery.py`` draws those of the lecture: on given axes, with a caption and numbers."""

import numpy as np

from ..results import with_error
from . import ising, mixture, topics
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


def topics_of_the_bible(axes):
    """Shares of ten topics along the chapters of the Bible."""
    (ax,), (C, words, names) = axes, topics.bible()
    trained, held_out = topics.split()
    found = topics.train(trained, passes=15)
    gamma = topics.local(C, topics.exp_mean_log(found)).gamma
    shares = gamma / gamma.sum(axis=1, keepdims=True)
    order, telling = np.argsort(np.arange(len(C)) @ shares / shares.sum(axis=0)), words[topics.telling(found)]
    # a running mean, as chapters are many and short
    smooth = np.stack([np.convolve(np.pad(column, 4, "edge"), np.ones(9) / 9, "valid") for column in shares.T[order]])
    labels = [" ".join(telling[k, :3]) for k in order]
    ax.stackplot(np.arange(0, len(C), 3), smooth[:, ::3], labels=labels, lw=0)
    books = ("Genesis 1", "Leviticus 1", "1 Samuel 1", "Psalms 1", "Isaiah 1", "Matthew 1", "Romans 1")
    at = [int(np.flatnonzero(names == name)[0]) for name in books if name in names]
    ax.set_xticks(at, [names[n][:-2] for n in at])
    ax.set_xlim(0, len(C) - 1)
    ax.set_ylim(0, 1)
    ax.set_ylabel("share of topic")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, reverse=True)
    each = topics.bounds(held_out, found, 1000)
    shown = [with_error(e.value / each.tokens, e.standard_error / each.tokens) for e in (each.with_z, each.summed)]
    return Drawn(
        "Latent Dirichlet allocation with ten topics on the chapters of the King James Bible, each with the three "
        "words that tell most of it; shares are means over nine chapters.",
        [
            ("bound of chapters held out", "nats a token"),
            ("closed form", f"{each.closed / each.tokens:.7f}"),
            ("by elbo", shown[0]),
            ("by elbo, z summed out", shown[1]),
        ],
    )


FIGURES = {
    "clusters": ("A mixture of Gaussians", clusters, 1, (6, 4)),
    "topics_of_the_bible": ("Topics of the Bible", topics_of_the_bible, 1, (11, 4)),
    "mean_field_of_spins": ("The Ising model by mean field", mean_field_of_spins, 2, (10, 4)),
}
