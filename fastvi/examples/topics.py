"""Topics of the King James Bible: latent Dirichlet allocation (Blei, Ng and Jordan 2003) of its 1189 chapters.

A chapter has shares theta_d ~ Dirichlet(0.1) of ten topics, a topic probabilities beta_k ~ Dirichlet(0.05) of words,
and a word comes from topic z ~ theta_d.  Coordinate ascent in NumPy finds q(z) q(theta) q(beta), all factorised, and
its bound in closed form, which is scikit-learn's ``score`` too.

The parts of the bound are fastvi's as well: KL(q(beta) || p(beta)) by ``kl_divergence``, and the rest by ``elbo`` of a
product of Dirichlet factors, one for each chapter.  With q(z) that is the closed form; with z summed out given theta
it is higher, by what q loses where it holds the topics of a chapter's words independent of its shares.  fastvi judges
q here and does not fit it: for local q's of a thousand chapters there are updates in closed form.

The data are counts of the 1000 most frequent words in each chapter, in lower case, of three letters at least, without
stop words (modern and old: thou, unto) and words of fewer than five chapters; the text is out of copyright.
"""

import pathlib
from typing import Any, NamedTuple

import numpy as np
from scipy.special import digamma, gammaln

from ..estimators.elbo import elbo
from ..estimators.kl import kl_divergence
from ..families.dirichlet import Dirichlet
from ..families.product import Product
from ..results import Estimate, with_error
from ..targets.target import Target

TOPICS, SHARES, WORDS, HELD_OUT = 10, 0.1, 0.05, 10  # concentrations of the priors; every tenth chapter is held out
PASSES, INNER, SETTLED = 30, 20, 1e-4
DATA = pathlib.Path(__file__).with_name("data") / "kjv_chapters.npz"


def summed_log_density(theta, starts, words, counts, B, constant):
    """log p(words, theta) of all chapters, z summed out; B = exp(E log beta)"""
    total = constant
    for d in range(len(starts) - 1):
        for k in range(B.shape[0]):
            total += (SHARES - 1.0) * np.log(theta[d, k])
        for i in range(starts[d], starts[d + 1]):
            p = 0.0
            for k in range(B.shape[0]):
                p += theta[d, k] * B[k, words[i]]
            total += counts[i] * np.log(p)
    return total


def log_density(theta, counts, constant):
    """E log p(words, z, theta) / q(z) under q(z), which gives each topic so many words of each chapter"""
    return constant + np.sum((counts + SHARES - 1.0) * np.log(theta))


def bible() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(counts (1189, 1000), words, names of chapters)"""
    with np.load(DATA) as stored:
        return stored["counts"].astype(float), stored["words"], stored["chapters"]


def exp_mean_log(concentration: np.ndarray) -> np.ndarray:
    """exp(E log x) of Dirichlet rows"""
    return np.exp(digamma(concentration) - digamma(concentration.sum(axis=1, keepdims=True)))


def local_step(C: np.ndarray, gamma: np.ndarray, B: np.ndarray, most: int) -> np.ndarray:
    """Steps of q(z) and q(theta) for all chapters until nothing moves"""
    for _ in range(most):
        shares = exp_mean_log(gamma)
        new = SHARES + shares * ((C / (shares @ B)) @ B.T)
        moved, gamma = np.max(np.abs(new - gamma)), new
        if moved < SETTLED:
            break
    return gamma


def train(C: np.ndarray, seed: int = 1, passes: int = PASSES) -> np.ndarray:
    """Concentrations of q(beta), (topics, words).  Local q's start anew in each pass: those that go on from where the
    last pass left them, and settle, freeze the topics of the first"""
    found = np.random.default_rng((0, seed)).gamma(100.0, 0.01, (TOPICS, C.shape[1]))
    for _ in range(passes):
        B = exp_mean_log(found)
        shares = exp_mean_log(local_step(C, np.ones((len(C), TOPICS)), B, INNER))
        found = WORDS + B * (shares.T @ (C / (shares @ B)))
    return found


class Bounds(NamedTuple):
    """Of some chapters, in nats: the closed form, the estimates of it and of the one with z summed out, all without
    q(beta)'s part; and KL(q(beta) || p(beta)), which belongs to the chapters that it was trained on."""

    tokens: int
    closed: float
    with_z: Estimate
    summed: Estimate
    of_topics: float


class Local(NamedTuple):
    """The best q(z) q(theta) for a q(beta): concentrations of q(theta), words of each topic that it expects, both
    (chapters, topics), the constant of ``log_density``, and the bound without q(beta)'s part."""

    gamma: np.ndarray
    counts: np.ndarray
    constant: float
    closed: float


def local(C: np.ndarray, B: np.ndarray) -> Local:
    """Of these chapters, with B = exp(E log beta)"""
    gamma = local_step(C, np.ones((len(C), TOPICS)), B, 1000)
    shares, counts = exp_mean_log(gamma), gamma - SHARES
    constant = np.sum(C * np.log(shares @ B)) - np.sum(counts * np.log(shares)) + normaliser(len(C))
    closed = constant + np.sum(gammaln(gamma)) - np.sum(gammaln(gamma.sum(axis=1)))
    return Local(gamma, counts, float(constant), float(closed))


def normaliser(chapters: int) -> float:
    """The logarithm of that of the prior of theta"""
    return chapters * float(gammaln(TOPICS * SHARES) - TOPICS * gammaln(SHARES))


def bounds(C: np.ndarray, found: np.ndarray, num_samples: int, rng: Any = 0, num_threads: int | None = None) -> Bounds:
    """Of the best q(z) q(theta) for a q(beta), from so many draws of all theta together"""
    B = exp_mean_log(found)
    best, (rows, words) = local(C, B), np.nonzero(C)
    starts = np.searchsorted(rows, np.arange(len(C) + 1))
    q = Product(theta=Dirichlet(best.gamma))
    targets = (
        Target(log_density, q.latents, (best.counts, best.constant)),
        Target(summed_log_density, q.latents, (starts, words, C[rows, words], B, normaliser(len(C)))),
    )
    options = dict(estimator="plain", rng=rng, num_threads=num_threads)
    with_z, summed = (elbo(target, q, num_samples, **options) for target in targets)
    return Bounds(int(C.sum()), best.closed, with_z, summed, of_topics(found))


def of_topics(found: np.ndarray) -> float:
    """KL(q(beta) || p(beta)), exact"""
    return kl_divergence(Dirichlet(found), Dirichlet(np.full(found.shape, WORDS))).value


def telling(found: np.ndarray) -> np.ndarray:
    """Words of each topic (topics, words), first those that tell most of it: p log(p / p of all topics together)"""
    p, overall = found / found.sum(axis=1, keepdims=True), found.sum(axis=0) / found.sum()
    return np.argsort(-p * np.log(p / overall), axis=1)


def split() -> tuple[np.ndarray, np.ndarray]:
    """(counts of chapters to train on, those held out)"""
    C = bible()[0]
    last = np.arange(len(C)) % HELD_OUT == HELD_OUT - 1
    return C[~last], C[last]


def report(num_samples: int = 1_000_000, rng: Any = 0, num_threads: int | None = None) -> str:
    """What ``python -m fastvi examples topics`` prints, from so many draws of all chapters together."""
    trained, held_out = split()
    found = train(trained)
    words = bible()[1][telling(found)]
    each = max(100, num_samples // (len(trained) + len(held_out)))
    own, other = (bounds(C, found, each, rng, num_threads) for C in (trained, held_out))
    share = (found - WORDS).sum(axis=1) / own.tokens
    lines = [" share  topic"]
    for k in np.argsort(-share):
        lines.append(f"{share[k]:6.3f}  {' '.join(words[k, :8])}")
    lines.append(f"\n{'bound, nats a token':<28}{'closed form':<13}{'by elbo':<25}by elbo, z summed out")
    for name, b, less in (("trained on", own, own.of_topics), ("held out, q(beta) given", other, 0.0)):
        by_elbo = [with_error((e.value - less) / b.tokens, e.standard_error / b.tokens) for e in (b.with_z, b.summed)]
        lines.append(f"{name:<28}{(b.closed - less) / b.tokens:<13.7f}{by_elbo[0]:<25}{by_elbo[1]}")
    gain = (other.summed.value - other.closed) / len(held_out), other.summed.standard_error / len(held_out)
    lines.append(
        f"{own.tokens:,} tokens, {each:,} draws; summed out, a chapter held out gains {with_error(*gain)} nats"
    )
    return "\n".join(lines)
