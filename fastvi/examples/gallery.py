"""The lecture's figures, computed by fastvi's own estimators: ``python -m fastvi gallery --open``; ``page`` shows them.

Each function draws one figure on given axes from what it computes, and returns its caption and its numbers.
"""

import math

import numpy as np

from ..diagnostics.bounds import bounds
from ..diagnostics.divergences import divergence
from ..estimators.elbo import elbo
from ..estimators.gradient import elbo_gradient
from ..families.closed_forms import as_target
from ..families.full_rank import FullRankGaussian
from ..families.mean_field import MeanFieldGaussian
from ..families.mixture import GaussianMixture
from ..fitting.fit import fit
from ..kernels.arithmetic.functions import logaddexp
from ..results import with_error
from ..targets.target import Target
from . import bayesian_neural_net, boltzmann, deep_belief_net, helmholtz, vae
from .drawn import FORWARD, GREY, REVERSE, Drawn, P
from .models import eight_schools, launches

NUM_SAMPLES = 200_000


def moment_fit(p, kind, num_samples=NUM_SAMPLES, rng=0):
    """The minimiser of KL(p || q) over a Gaussian family: the moments of p, from draws of it."""
    z = p.sample(num_samples, rng=rng)
    return kind(z.mean(0), z.std(0) if kind.is_diagonal else np.linalg.cholesky(np.cov(z.T)))


def contours(axes, log_prob, box, colour, filled=False):
    """Where log density falls 0.5, 2 and 4 nats below its peak: lines, or areas."""
    x, y = (np.linspace(low, high, 200) for low, high in box)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    values = log_prob(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    levels = values.max() - np.array([4.0, 2.0, 0.5, 0.0])
    if filled:
        axes.contourf(x, y, values, levels=levels, colors=["#e4e8ec", "#c8cfd6", GREY])
    else:
        axes.contour(x, y, values, levels=levels[:-1], colors=colour, linestyles="solid", linewidths=1.4)
    axes.set_aspect("equal")
    axes.set_xlabel("$z_1$")
    axes.set_ylabel("$z_2$")


def factorised_gaussian(axes):
    """Bishop (2006), figure 10.2: one correlated Gaussian, two factorised fits."""
    rho = 0.9
    p = FullRankGaussian([0.0, 0.0], np.linalg.cholesky([[1.0, rho], [rho, 1.0]]))
    reverse = fit(as_target(p), "mean_field", method="coordinate_ascent", rng=0).q
    forward = moment_fit(p, MeanFieldGaussian)
    pairs = ((reverse, REVERSE, "reverse", "kl_reverse"), (forward, FORWARD, "forward", "kl_forward"))
    numbers = [("fit", "divergence", "nats", "sd of q")]
    for ax, (q, colour, name, kind) in zip(axes, pairs, strict=True):
        contours(ax, p.log_prob, ((-3, 3), (-3, 3)), P, filled=True)
        contours(ax, q.log_prob, ((-3, 3), (-3, 3)), colour)
        order = "q‖p" if name == "reverse" else "p‖q"
        found = divergence(q, p, kind)
        ax.set_title(f"{name}: KL({order}) = {found.value:.3f}, sd = {q.scale[0]:.2f}", color=colour)
        numbers.append((name, f"KL({order})", f"{found.value:.6f} ({found.method})", f"{q.scale[0]:.4f}"))
    return Drawn(
        "A Gaussian with correlation 0.9 (grey) and its best factorised fits. The fit by KL(q‖p) has the conditional "
        "variance 1 - rho² = 0.19: it is too narrow, overconfident, not conservative. The fit by KL(p‖q) has the "
        "marginal variance 1, and mass where p has none. Contours lie 0.5, 2 and 4 nats below the peak.",
        numbers,
    )


def two_modes(axes):
    """Bishop (2006), figure 10.3: a bimodal target, one Gaussian by forward KL and two by reverse."""
    shape = np.linalg.cholesky([[0.5, -0.25], [-0.25, 0.5]])
    p = GaussianMixture([0.5, 0.5], [[-1.2, -1.2], [1.2, 1.2]], [shape, shape])
    fits = [("forward", moment_fit(p, FullRankGaussian), FORWARD)]
    for side in (-1.0, 1.0):
        start = FullRankGaussian([side, side], 0.5 * np.eye(2))
        fits.append(("reverse", fit(p.target, start, rng=0).q, REVERSE))
    numbers = [("fit", "divergence", "nats", "location of q")]
    for ax, (name, q, colour) in zip(axes, fits, strict=True):
        contours(ax, p.log_prob, ((-3.4, 3.4), (-3.4, 3.4)), P, filled=True)
        contours(ax, q.log_prob, ((-3.4, 3.4), (-3.4, 3.4)), colour)
        found = divergence(q, p, f"kl_{name}", NUM_SAMPLES, rng=1)
        order = "q‖p" if name == "reverse" else "p‖q"
        shown = with_error(found.value, found.standard_error)
        ax.set_title(f"{name}: KL({order}) = {shown}", color=colour)
        numbers.append((name, f"KL({order})", shown, f"{q.loc[0]:.3f}, {q.loc[1]:.3f}"))
    return Drawn(
        "A mixture of two Gaussians (grey). KL(p‖q) is least where q has the moments of p and covers both modes, and "
        "the valley between them. KL(q‖p) has two local minima; which one is found depends on the start. Each costs "
        "close to log 2 = 0.693 nats, the half of p that q leaves out.",
        numbers,
    )


def alpha_sweep(axes):
    """Minka (2005), figure 1: the best Gaussian to a skewed two-peaked density, as alpha goes from -1 to 1."""
    from scipy.optimize import minimize

    p = GaussianMixture([0.7, 0.3], [[-1.0], [2.2]], [[0.6], [1.1]])
    x = np.linspace(-4, 6.5, 400)
    axes[0].fill_between(x, np.exp(p.log_prob(x[:, None])), color=P, alpha=0.25, lw=0)
    starts, widths = [np.array([0.0, math.log(1.6)]), np.array([-1.0, math.log(0.6)])], []
    alphas = [1.0, 0.75, 0.5, 0.25, 0.0, -0.25, -0.5, -0.6, -0.7, -0.8, -0.9, -1.0]
    for alpha in alphas:

        def loss(v, alpha=alpha):
            q = MeanFieldGaussian(v[:1], np.exp(v[1:]))
            return divergence(q, p, "alpha", 20_000, alpha=alpha, method="monte_carlo", rng=0).value

        options = {"xatol": 1e-3, "fatol": 1e-5}
        found = [minimize(loss, start, method="Nelder-Mead", options=options) for start in starts]
        starts[0] = found[0].x
        parameters = min(found, key=lambda result: result.fun).x
        q = MeanFieldGaussian(parameters[:1], np.exp(parameters[1:]))
        widths.append((alpha, q.loc[0], q.scale[0]))
        share = (alpha + 1.0) / 2.0
        colour = tuple((1 - share) * np.array([0.76, 0.25, 0.05]) + share * np.array([0.11, 0.44, 0.72]))
        if alpha in (1.0, 0.0, -0.5, -0.8, -1.0):
            axes[0].plot(x, np.exp(q.log_prob(x[:, None])), color=colour, label=rf"$\alpha$ = {alpha:g}")
    axes[0].legend(frameon=False)
    axes[0].set_xlabel("z")
    axes[0].set_title("best Gaussian q (lines) to p (grey)")
    at, locs, sds = np.array(widths).T
    axes[1].plot(at, locs, "o-", color=P, label="location of q")
    axes[1].plot(at, sds, "s-", color=REVERSE, label="sd of q")
    axes[1].set_xlabel(r"$\alpha$:  -1 is KL(q‖p), 0 Hellinger, 1 is KL(p‖q)")
    axes[1].legend(frameon=False)
    axes[1].set_title("from one mode to all of the mass")
    return Drawn(
        "The Gaussian that minimises D_alpha(p‖q) of Bishop (2006), equation 10.19. At alpha = -1, KL(q‖p), q sits on "
        "the higher mode; with rising alpha that local minimum is undercut by one that spreads, and at alpha = 1, "
        "KL(p‖q), q has the mean and variance of p. Each divergence is a mean over 20,000 common draws of q.",
        [("alpha", "location of q", "sd of q"), *((f"{a:g}", f"{loc:.3f}", f"{sd:.3f}") for a, loc, sd in widths)],
    )


def skewed_log_density(z):
    """Bishop (2006), figures 4.14 and 10.1: exp(-z^2/2) sigmoid(20 z + 4)"""
    return -0.5 * z[0] ** 2 - logaddexp(0.0, -(20.0 * z[0] + 4.0))


def laplace_or_variational(axes):
    """Bishop (2006), figure 10.1: Laplace's approximation against the variational one."""
    target = Target(skewed_log_density, 1, name="skewed")
    laplace = target.laplace([0.5])
    variational = fit(target, laplace.q, rng=0).q
    evidence = bounds(target, FullRankGaussian([0.6], [[0.9]]), NUM_SAMPLES, rng=0).log_evidence
    log_z, numbers = evidence.value, [("quantity", "nats")]
    numbers.append(("log Z, by importance sampling", with_error(evidence.value, evidence.standard_error)))
    x = np.linspace(-1.6, 3.6, 500)
    log_p = target.value(x[:, None]) - log_z
    fits = (("Laplace", laplace.q, FORWARD), ("variational", variational, REVERSE))
    axes[0].fill_between(x, np.exp(log_p), color=P, alpha=0.25, lw=0)
    axes[1].plot(x, -log_p, color=P, label="p")
    for name, q, colour in fits:
        value = elbo(target, q, NUM_SAMPLES, rng=0)
        label = f"{name}: ELBO = log Z - {log_z - value.value:.3f}"
        numbers.append((f"ELBO, {name}", with_error(value.value, value.standard_error)))
        axes[0].plot(x, np.exp(q.log_prob(x[:, None])), color=colour, label=label)
        axes[1].plot(x, -q.log_prob(x[:, None]), color=colour, label=name)
    axes[0].legend(frameon=False, fontsize=8)
    axes[0].set_title("density")
    axes[1].set_title("negative log density")
    axes[1].set_ylim(-0.5, 8)
    for ax in axes:
        ax.set_xlabel("z")
    return Drawn(
        "p(z) proportional to exp(-z²/2) sigmoid(20 z + 4) (grey). Laplace's Gaussian has the mode of p and its "
        "curvature there; the variational one minimises KL(q‖p), which weighs all of q's mass, so it moves to the "
        "right and avoids the steep side. By construction no Gaussian has a higher ELBO.",
        numbers,
    )


def trace(axes):
    """The ELBO during two fits."""
    model = eight_schools()
    line, lowest, numbers = None, math.inf, [("quantity", "nats", "draws", "rounds")]
    for family, colour in (("mean_field", REVERSE), ("full_rank", FORWARD)):
        found = fit(model.target, family, rng=3)
        rounds = np.array([(r.number, r.elbo) for r in found.history])
        name, lowest = family.replace("_", "-"), min(lowest, float(np.nanmin(rounds[:, 1])))
        shown = with_error(found.elbo.value, found.elbo.standard_error)
        numbers.append((f"ELBO, {name}, on fresh draws", shown, f"{found.num_samples:,}", str(len(rounds))))
        for ax in axes:
            ax.plot(rounds[:, 0], rounds[:, 1], "o-", ms=3, color=colour, label=name)
        if line is None or found.elbo.value > line[0]:
            line = found.elbo.value, bounds(model.target, found.q, NUM_SAMPLES, num_particles=(1000,), rng=4)
    assert line is not None
    bound = line[1].iwae[1000]
    numbers.append(("IWAE-1000", with_error(bound.value, bound.standard_error), f"{NUM_SAMPLES:,}", ""))
    for ax in axes:
        ax.axhline(bound.value, color=GREY, ls="--", label="IWAE-1000")
        ax.set_xlabel("round")
    axes[0].set_ylabel("ELBO (nats)")
    axes[0].set_ylim(lowest - 0.5, bound.value + 0.5)
    axes[0].legend(frameon=False)
    axes[0].set_title("eight schools, two fits")
    axes[1].set_ylim(bound.value - 1.0, bound.value + 0.3)
    axes[1].set_title("the last nat")
    return Drawn(
        "The ELBO over the draws that each round of two fits works on, which lies somewhat too high where they are "
        "few, on Rubin's eight schools. The dashed line is a tighter lower bound on log p(x), IWAE with 1000 weights: "
        f"{bound.value:.2f}. The gap is KL(q‖p), or nearly: the posterior is not Gaussian.",
        numbers,
    )


ESTIMATORS = ("score", "leave_one_out", "quadratic", "cubic", "pathwise", "sticking_the_landing", "pathwise_quadratic")


def estimator_variances(axes):
    """Variance of one draw's gradient, all parameters in units of q, for two posteriors at their mean-field optimum."""
    numbers: list[tuple[str, ...]] = [("estimator",), *((name,) for name in ESTIMATORS)]
    for ax, model in zip(axes, (launches(), eight_schools()), strict=True):
        q = fit(model.target, "mean_field", rng=3).q
        units = np.concatenate([q.scale, np.ones(q.dim)])
        heights = []
        for name in ESTIMATORS:
            found = elbo_gradient(model.target, q, NUM_SAMPLES, estimator=name, rng=5)
            heights.append(float(np.sum((found.standard_error * units) ** 2)) * found.num_samples)
        colours = [FORWARD if name.startswith(("path", "stick")) else REVERSE for name in ESTIMATORS]
        ax.barh([n.replace("_", " ") for n in ESTIMATORS], heights, color=colours)
        ax.set_xscale("log")
        ax.invert_yaxis()
        ax.set_xlabel("variance × draws")
        ax.set_title(model.name)
        numbers = [
            (*row, cell) for row, cell in zip(numbers, [model.name, *(f"{h:.3g}" for h in heights)], strict=True)
        ]
        for k, height in enumerate(heights):
            ax.text(height * 1.1, k, f"{height:.3g}", va="center", fontsize=8)
        ax.set_xlim(right=max(heights) * 8)
    return Drawn(
        "Variance of ELBO-gradient estimators at the mean-field optimum, summed over parameters in units of q, on a "
        "log scale; red needs values of log p only, blue its gradient. A polynomial control variate pays where the "
        "misfit is a correlation or a skew (left) and little where it is a funnel (right).",
        numbers,
    )


# name: (title, function, columns, width and height in inches)
FIGURES = {
    "factorised_gaussian": ("One Gaussian, two factorised fits", factorised_gaussian, 2, (9, 4.4)),
    "two_modes": ("Two modes", two_modes, 3, (12, 4.2)),
    "alpha_sweep": ("From KL(q‖p) to KL(p‖q): the alpha family", alpha_sweep, 2, (10, 4)),
    "laplace_or_variational": ("Laplace or variational", laplace_or_variational, 2, (10, 4)),
    "elbo_trace": ("The ELBO during a fit", trace, 2, (10, 4)),
    "estimator_variances": ("Estimators of the gradient", estimator_variances, 2, (11, 3.8)),
    "bayesian_neural_net": ("Hidden units that mean field keeps", bayesian_neural_net.draw, 1, (6, 3.6)),
    "vae": ("Digits from two numbers", vae.draw, 2, (10, 4.6)),
    "helmholtz": ("A belief net and its encoder", helmholtz.draw, 2, (10, 4.6)),
    "deep_belief_net": ("A net of two layers", deep_belief_net.draw, 2, (10, 4.6)),
    "boltzmann": ("One mode of a Boltzmann machine", boltzmann.draw, 2, (8, 4)),
}
