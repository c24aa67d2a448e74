"""NumPyro models as targets on their unconstrained space, with the names of their sites."""

import functools
from typing import Any

import numpy as np

from ..targets.constraints import Space, greater_than, interval, less_than, positive, real, unit
from ..targets.parameters import Parameters
from ..targets.target import Target
from . import guest
from .jax_density import ByJax, TranslatedDensity, density_of

jax = guest("jax", "numpyro")
numpyro = guest("numpyro", "numpyro")


def from_model(model, *args, name: str | None = None, **kwargs) -> Target:
    """The log density of a NumPyro model on the unconstrained space, its Jacobians included, as a :class:`Target`.

    z holds the unconstrained values of the latent sites in the order in which the model samples them, raveled.
    ``constrain``, tables and ``to_arviz`` have the names of the sites, of deterministic ones too.

    Parameters
    ----------
    model : callable
        with continuous latent sites of static shape; in JAX's double precision (``jax_enable_x64``)
    *args, **kwargs
        of the model.  Arrays among them are part of the translated density: for other data make another target
    name : str, optional
        for messages

    Raises
    ------
    ValueError
        for no or discrete latent sites, and where JAX computes in single precision

    Notes
    -----
    Translated into Python source (``target.source``) where every primitive has a translation, otherwise evaluated by
    JAX in batches: ``target.explain()`` says which, and why.
    """
    if not jax.config.jax_enable_x64:
        raise ValueError(
            'model: JAX computes in single precision; call jax.config.update("jax_enable_x64", True) first'
        )
    sites = Sites(model, args, kwargs)
    name = str(name or getattr(model, "__name__", "NumPyro model"))
    again = functools.partial(from_model, name=name, **kwargs), (model, *args)
    kinds = (TranslatedSites, SitesByJax)
    density = density_of(sites.log_density, sites.dim, name, again, sites.labels(), kinds)
    density.sites, density.parameters = sites, sites.parameters
    return Target.of(density)


class SiteNames:
    """The part of a density that knows the sites of its model."""

    sites: "Sites"

    def constrained(self, points) -> dict[str, np.ndarray]:
        return self.sites.constrained(points)

    def unconstrained(self, values, what="values", partly=False) -> np.ndarray:
        return self.sites.unconstrained(values, what, partly)

    def labels(self) -> dict[tuple[int, int], str]:
        return self.sites.labels()

    def arviz_groups(self, z) -> dict:
        return self.sites.arviz_groups(z)


class TranslatedSites(SiteNames, TranslatedDensity):
    """Of a translated model."""


class SitesByJax(SiteNames, ByJax):
    """Of a model that JAX evaluates."""


class Sites:
    """The latent sites of a model: where each stands in z."""

    def __init__(self, model, args, kwargs) -> None:
        from numpyro import handlers
        from numpyro.infer import init_to_uniform
        from numpyro.infer.util import unconstrain_fn

        self.model, self.args, self.kwargs = model, args, kwargs
        # flat priors cannot be drawn from: values as NumPyro's own samplers begin with
        begun = handlers.substitute(handlers.seed(model, jax.random.PRNGKey(0)), substitute_fn=init_to_uniform)
        self.trace = handlers.trace(begun).get_trace(*args, **kwargs)
        latent = {n: s for n, s in self.trace.items() if s["type"] == "sample" and not s["is_observed"]}
        discrete = [n for n, s in latent.items() if s["fn"].support.is_discrete]
        if discrete:
            raise ValueError(f"model: the latent site {discrete[0]} is discrete; enumerate or marginalise it")
        if not latent:
            raise ValueError("model: it has no latent sites")
        values = {n: s["value"] for n, s in latent.items()}
        free = jax.eval_shape(lambda: unconstrain_fn(model, args, kwargs, values))
        self.names = list(latent)
        self.shapes = [free[n].shape for n in self.names]
        ends = np.cumsum([0, *(int(np.prod(s)) for s in self.shapes)]).tolist()
        self.places = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]
        self.dim = ends[-1]
        self.parameters = self.spaces()

    def labels(self) -> dict[tuple[int, int], str]:
        return {(p.start, p.stop - p.start): n for p, n in zip(self.places, self.names, strict=True)}

    def unravel(self, z) -> dict:
        """z (dim,) by the names of the sites, unconstrained."""
        parts = zip(self.names, self.places, self.shapes, strict=True)
        return {name: z[place].reshape(shape) for name, place, shape in parts}

    def log_density(self, z):
        from numpyro.infer.util import potential_energy

        return -potential_energy(self.model, self.args, self.kwargs, self.unravel(z))

    def constrained(self, points) -> dict[str, np.ndarray]:
        """Points (n, dim) by name, (n, *shape) each: latent and deterministic sites."""
        from numpyro.infer.util import constrain_fn

        def one(z):
            return constrain_fn(self.model, self.args, self.kwargs, self.unravel(z), return_deterministic=True)

        found = jax.jit(jax.vmap(one))(jax.numpy.asarray(points))
        shown = [n for n, s in self.trace.items() if n in found and s["type"] in ("sample", "deterministic")]
        return {n: np.asarray(found[n]) for n in [*shown, *(n for n in found if n not in shown)]}

    def unconstrained(self, values, what="values", partly=False) -> np.ndarray:
        """z of sites by name; those that are left out, where that is allowed, at z = 0."""
        from numpyro.infer.util import unconstrain_fn

        told = set() if partly else {n for n, s in self.trace.items() if s["type"] == "deterministic"}
        values = {n: v for n, v in values.items() if n not in told}  # they follow from the others
        wrong = [f"{name} is no latent site" for name in values if name not in self.names]
        wrong += [] if partly else [f"{name} is missing" for name in self.names if name not in values]
        if wrong:
            raise ValueError(f"{what}: expected {', '.join(self.names)}; {', '.join(wrong)}")
        base = {n: v[0] for n, v in self.constrained(np.zeros((1, self.dim))).items() if n in self.names}
        for name, value in values.items():
            if np.shape(value) != base[name].shape:
                raise ValueError(f"{what}[{name!r}]: expected shape {base[name].shape}, got {np.shape(value)}")
            if not np.all(self.trace[name]["fn"].support(jax.numpy.asarray(value, float))):
                raise ValueError(f"{what}[{name!r}]: expected a value of its support, got {value}")
        given = {n: jax.numpy.asarray(values.get(n, base[n]), float) for n in self.names}
        free = unconstrain_fn(self.model, self.args, self.kwargs, given)
        z = np.zeros(self.dim)
        for name, place in zip(self.names, self.places, strict=True):
            if name in values:
                z[place] = np.ravel(free[name])
        return z

    def arviz_groups(self, z) -> dict:
        """For ArviZ: draws (n, dim) by name, and the observed sites."""
        free = {n: z[:, p].reshape(len(z), *s) for n, p, s in zip(self.names, self.places, self.shapes, strict=True)}
        seen = {n: np.asarray(s["value"]) for n, s in self.trace.items() if s["type"] == "sample" and s["is_observed"]}
        return dict(posterior=self.constrained(z), unconstrained_posterior=free, observed_data=seen)

    def spaces(self) -> Parameters | None:
        """Names and spaces; None where a transform of NumPyro's is no space of ours."""
        found = {}
        for name, shape in zip(self.names, self.shapes, strict=True):
            space = space_of(self.trace[name]["fn"].support, shape)
            if space is None or not name.isidentifier():
                return None
            found[name] = space
        return Parameters(found)


def space_of(support, shape) -> Space | None:
    """The space whose map to z is that of a NumPyro constraint."""
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    kind = type(support).__name__.lstrip("_").lower()
    if len(shape) > 2 or 0 in shape:
        return None
    if kind in ("real", "realvector"):
        return real(shape)
    if kind in ("positive", "nonnegative"):
        return positive(shape)
    if kind == "unitinterval":
        return unit(shape)
    bounds: Any = [getattr(support, f"{side}_bound", None) for side in ("lower", "upper")]
    low, high = bounds
    if any(np.size(b) != 1 for b in (low, high) if b is not None):
        return None
    if kind == "interval":
        return interval(float(low), float(high), shape)
    if kind in ("greaterthan", "greaterthaneq"):
        return positive(shape) if float(low) == 0.0 else greater_than(float(low), shape)
    return less_than(float(high), shape) if kind in ("lessthan", "lessthaneq") else None
