"""PyMC models as targets, on the unconstrained space, and approximations to and fro."""

import functools
import threading
from math import prod

import numpy as np

from .. import checks
from ..families.base import Family
from ..families.full_rank import FullRankGaussian
from ..families.mean_field import MeanFieldGaussian
from ..kernels.density import abi, jitted
from ..targets.external import ExternalDensity
from ..targets.target import Target
from . import guest

pymc = guest("pymc", "pymc")
pytensor = guest("pytensor", "pymc")
NUMBA = "NUMBA"


class Layout:
    """Where each free variable stands in z: its value variable, its place and its shape."""

    def __init__(self, model) -> None:
        point = model.initial_point(0)
        self.variables = [model.rvs_to_values[rv] for rv in model.free_RVs]
        self.names = [v.name for v in self.variables]
        self.shapes = [np.shape(point[name]) for name in self.names]
        ends = np.cumsum([0, *(prod(shape) for shape in self.shapes)]).tolist()
        self.places = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]
        self.dim = ends[-1]

    def unravel(self, z) -> dict[str, np.ndarray]:
        """Draws (…, dim) as arrays (…, *shape) by the names of the value variables."""
        lead = z.shape[:-1]
        parts = zip(self.names, self.places, self.shapes, strict=True)
        return {name: z[..., place].reshape(lead + shape) for name, place, shape in parts}


class ModelDensity(ExternalDensity):
    """The log density of a ``pm.Model`` through PyTensor's Numba backend; compiled when it is asked for."""

    what = "PyMC model"

    def __init__(self, model, name: str, cost: float | None = None) -> None:
        self.model, self.layout = model, Layout(model)
        super().__init__(self.layout.dim, name, cost=cost)
        x = self.x = pytensor.tensor.vector("x", shape=(self.layout.dim,), dtype="float64")
        parts = zip(self.layout.variables, self.layout.places, self.layout.shapes, strict=True)
        self.in_x = {v: x[place].reshape(shape).astype(v.dtype) for v, place, shape in parts}
        self.log_p = model.logp()
        self.shared = shared_of(self.log_p)
        self.compiling, self.renewing = threading.RLock(), threading.RLock()
        self.compilations: dict[bool, abi.Compiled] = {}
        self.seen: list[np.ndarray] = []
        self.packed: abi.Memory | None = None

    def values(self) -> abi.Compiled:
        return self.compiled(False)

    def gradients(self) -> abi.Compiled:
        return self.compiled(True)

    def memory(self) -> abi.Memory:
        """What ``pm.set_data`` has put there."""
        with self.renewing:
            now = [s.get_value(borrow=True) for s in self.shared]
            if self.packed is None or not all(a is b for a, b in zip(now, self.seen, strict=True)):
                if self.packed is not None and Layout(self.model).shapes != self.layout.shapes:
                    raise ValueError("model: its data have changed the shape of free variables; call from_model anew")
                self.packed = abi.Memory([np.ascontiguousarray(a).reshape(np.shape(a)) for a in now])
                self.seen = now
            return self.packed

    def failure(self, z=None) -> BaseException | None:
        if z is None:
            return None
        try:
            self.function([self.log_p])(z)
        except Exception as error:
            return error
        return None

    def remake(self, target) -> tuple:
        return functools.partial(from_model, cost=self.operations, name=target.name), (self.model,)

    def compiled(self, gradient) -> abi.Compiled:
        """The C function of values, or of values and gradients."""
        with self.compiling:
            if gradient not in self.compilations:
                outputs = [self.log_p]
                if gradient:
                    slopes = pytensor.gradient.grad(self.log_p, self.layout.variables)
                    outputs.append(pytensor.tensor.concatenate([s.flatten() for s in slopes]))
                function = self.function(outputs)
                reads = [self.shared.index(s) for s in function.get_shared()]
                kinds = jitted.array_types([s.get_value(borrow=True) for s in self.shared])
                self.compilations[gradient] = jitted.compile_jitted(function.vm.jit_fn, kinds, reads, gradient)
            return self.compilations[gradient]

    def arviz_groups(self, z) -> dict:
        """For ArviZ: draws (n, dim) as PyMC reports them, and the model's data."""
        from pymc.backends.arviz import coords_and_dims_for_inferencedata, find_constants, find_observations

        reported = {rv.name for rv, _ in self.untransformed(z)}
        free = {name: draws for name, draws in self.layout.unravel(z).items() if name not in reported}
        coords, dims = coords_and_dims_for_inferencedata(self.model)
        return dict(
            posterior=self.constrained(z),
            unconstrained_posterior=free,
            observed_data=arrays(find_observations(self.model)),
            constant_data=arrays(find_constants(self.model)),
            coords=coords,
            dims=dims,
        )

    def function(self, outputs):
        """A PyTensor function of x, in Numba."""
        outputs = pytensor.graph.replace.clone_replace(outputs, self.in_x)
        with self.model:
            return pymc.pytensorf.compile([self.x], outputs, mode=NUMBA, on_unused_input="ignore")

    def constrained(self, z) -> dict[str, np.ndarray]:
        """Draws (n, dim) as arrays (n, *shape) of all that PyMC would report: variables and deterministics."""
        wanted = [v for v in self.model.unobserved_value_vars if v.name not in self.layout.names]
        found = {rv.name: values for rv, values in self.untransformed(z)}
        if wanted:
            function = self.function(wanted)
            rows = [function(row) for row in z]
            found |= {v.name: np.array([row[i] for row in rows]) for i, v in enumerate(wanted)}
        return found

    def unconstrained(self, values, what="values", partly=False) -> np.ndarray:
        """z of the free variables by name; those that are left out, where that is allowed, at z = 0."""
        free = {rv.name: rv for rv in self.model.free_RVs}
        wrong = [f"{name} is no free variable" for name in values if name not in free]
        wrong += [] if partly else [f"{name} is missing" for name in free if name not in values]
        if wrong:
            raise ValueError(f"{what}: expected {', '.join(free)}; {', '.join(wrong)}")
        z = np.zeros(self.layout.dim)
        for place, (name, rv) in zip(self.layout.places, free.items(), strict=True):
            if name not in values:
                continue
            value, transform = np.asarray(values[name], dtype=np.float64), self.model.rvs_to_transforms[rv]
            shape = tuple(map(int, rv.shape.eval()))
            if value.shape != shape:
                raise ValueError(f"{what}[{name!r}]: expected shape {shape}, got {value.shape}")
            if transform is not None:
                value = transform.forward(pytensor.tensor.as_tensor(value), *rv.owner.inputs).eval()
            if not np.isfinite(value).all():
                raise ValueError(f"{what}[{name!r}]: expected a value of its support, got {values[name]}")
            z[place] = np.ravel(value)
        return z

    def untransformed(self, z):
        """The free variables that are their own value variables, as (variable, draws)."""
        values = self.layout.unravel(z)
        pairs = ((rv, self.model.rvs_to_values[rv].name) for rv in self.model.free_RVs)
        return [(rv, values[name]) for rv, name in pairs if rv.name == name]


def arrays(variables) -> dict:
    return {name: np.asarray(value) for name, value in variables.items()}


def shared_of(log_p) -> list:
    """The shared variables of a graph; one that holds a random stream is refused."""
    found = [v for v in inputs_of(log_p) if isinstance(v, pytensor.compile.SharedVariable)]
    for variable in found:
        if not isinstance(variable.type, pytensor.tensor.TensorType):
            raise TypeError(
                f"model: its log density draws random numbers ({variable.type}), as pm.Minibatch does; pass the whole "
                "data, of which fastvi takes as many draws as you ask for"
            )
    return found


def inputs_of(variable):
    """The inputs of a graph, by whichever name PyTensor has for it."""
    graph = pytensor.graph
    find = getattr(getattr(graph, "traversal", None), "graph_inputs", None) or graph.basic.graph_inputs
    return list(dict.fromkeys(find([variable])))


def from_model(model=None, *, cost: float | None = None, name: str | None = None) -> Target:
    """The log density of a PyMC model on the unconstrained space, its Jacobians included, as a :class:`Target`.

    z holds the value variables of ``model.free_RVs`` in their order, raveled.  Values and gradients are PyTensor's,
    compiled by Numba when they are first asked for (seconds).  ``pm.set_data`` is seen at the next call and does not
    recompile.  A BLAS inside the model may start threads of its own in each of ours: limit it (threadpoolctl) or pass
    ``num_threads=1``.

    Parameters
    ----------
    model : pm.Model, optional
        the one on the context stack by default
    cost : float, optional
        operations of a draw, as for :meth:`Target.from_address`

    Raises
    ------
    TypeError
        for no model, discrete free variables, and ``pm.Minibatch``
    """
    try:
        model = pymc.modelcontext(model)
    except TypeError:
        model = None
    if not isinstance(model, pymc.Model):
        raise TypeError("model: expected a pm.Model, as an argument or on the context stack")
    if not model.free_RVs:
        raise ValueError("model: it has no free variables")
    for rv in model.free_RVs:
        value = model.rvs_to_values[rv]
        if not value.dtype.startswith("float"):
            raise TypeError(
                f"model: the free variable {rv.name} is discrete ({value.dtype}); sum it out (pymc_extras.marginalize)"
            )
        if value.dtype != "float64":
            raise TypeError(f"model: the free variable {rv.name} is {value.dtype}; expected float64 (floatX)")
    return Target.of(ModelDensity(model, name or model.name or "PyMC model", cost))


def model_of(target) -> ModelDensity:
    """The bridge's side of a target that came from :func:`from_model`."""
    density = getattr(target, "density", None)
    if not isinstance(density, ModelDensity):
        raise TypeError(f"target: expected one from fastvi.bridges.pymc.from_model, got {checks.describe(target)}")
    return density


def from_approximation(approximation, target: Target) -> Family:
    """The Gaussian of a ``pm.MeanField`` or ``pm.FullRank``, such as ``pm.fit`` returns, in the order of a target.

    Raises
    ------
    TypeError
        for other approximations
    ValueError
        where it is not of the target's variables
    """
    layout = model_of(target).layout
    if not isinstance(approximation, pymc.MeanField | pymc.FullRank):
        kind = type(approximation).__name__
        raise TypeError(f"approximation: expected a pm.MeanField or pm.FullRank, got {checks.describe(kind)}")
    order = order_of(approximation, layout)
    loc = approximation.mean.eval()[order]
    if isinstance(approximation, pymc.MeanField):
        return MeanFieldGaussian(loc, approximation.std.eval()[order])
    covariance = approximation.cov.eval()[np.ix_(order, order)]
    return FullRankGaussian(loc, np.linalg.cholesky(covariance))


def to_approximation(q: Family, target: Target, history=()):
    """``pm.MeanField`` or ``pm.FullRank`` with the parameters of q: its ``sample``, ``mean`` and ``std`` are PyMC's.

    ``history`` becomes its ``hist``: losses, that is negative ELBOs.
    """
    density = model_of(target)
    kind = pymc.MeanField if q.is_diagonal else pymc.FullRank
    approximation = kind(model=density.model)
    back = np.argsort(order_of(approximation, density.layout))
    shared = {parameter.name: parameter for parameter in approximation.params}
    shared["mu"].set_value(q.loc[back])
    if q.is_diagonal:
        shared["rho"].set_value(softplus_inverse(q.scale[back]))
    else:
        factor = np.linalg.cholesky(q.covariance[np.ix_(back, back)])
        np.fill_diagonal(factor, softplus_inverse(np.diag(factor)))
        shared["L_tril"].set_value(factor[np.tril_indices(q.dim)])
    approximation.hist = np.asarray(history, float)
    return approximation


def order_of(approximation, layout) -> np.ndarray:
    """order[i] is the place in the approximation of the target's i-th coordinate."""
    places = {name: place[1] for name, place in approximation.ordering.items()}
    if set(places) != set(layout.names):
        raise ValueError(f"approximation: it is of {sorted(places)}, the target of {sorted(layout.names)}")
    return np.concatenate([np.arange(places[name].start, places[name].stop) for name in layout.names])


def softplus_inverse(y) -> np.ndarray:
    """x with log(1 + e^x) = y."""
    return y + np.log(-np.expm1(-y))
