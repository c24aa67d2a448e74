"""Names of a PyMC model: draws as PyMC reports them, values as z, the spaces of its variables."""

import math
from typing import Any

import numpy as np

from ..targets.constraints import Space, greater_than, interval, less_than, ordered, positive, real, unit
from ..targets.parameters import Parameters
from . import guest

pytensor = guest("pytensor", "pymc")


class ModelNames:
    """The part of a model's density that knows names."""

    model: Any
    layout: Any
    function: Any

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
        told = set() if partly else {v.name for v in self.model.deterministics}
        values = {name: value for name, value in values.items() if name not in told}  # they follow from the others
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

    def coords(self) -> dict[str, list]:
        """Of all that is reported, by the model's dims."""
        first = {name: dims[0] for name, dims in self.model.named_vars_to_dims.items() if dims and dims[0] is not None}
        known = {dim: list(labels) for dim, labels in self.model.coords.items() if labels is not None}
        return {name: known[dim] for name, dim in first.items() if dim in known}

    def untransformed(self, z):
        """The free variables that are their own value variables, as (variable, draws)."""
        values = self.layout.unravel(z)
        pairs = ((rv, self.model.rvs_to_values[rv].name) for rv in self.model.free_RVs)
        return [(rv, values[name]) for rv, name in pairs if rv.name == name]

    def spaces(self) -> Parameters | None:
        """The free variables and their spaces; None where a transform of PyMC's is no space of ours."""
        found = {}
        for rv, shape in zip(self.model.free_RVs, self.layout.shapes, strict=True):
            space = space_of(rv, self.model.rvs_to_transforms[rv], shape)
            if space is None or not rv.name.isidentifier():
                return None
            found[rv.name] = space
        return Parameters(found)


def space_of(rv, transform, shape) -> Space | None:
    """The space whose map to z is a transform of PyMC's."""
    kind = type(transform).__name__
    if len(shape) > 2 or 0 in shape:
        return None
    if transform is None:
        return real(shape)
    if kind == "LogTransform":
        return positive(shape)
    if kind == "LogOddsTransform":
        return unit(shape)
    if kind == "Ordered" and len(shape) == 1:
        return ordered(shape[0])
    if kind == "Interval":
        low, high = transform.args_fn(*rv.owner.inputs)
        return interval_of(low, high, shape)
    return None


def interval_of(low, high, shape) -> Space | None:
    """Of bounds that are numbers, or nothing."""
    bounds = []
    for bound, none in ((low, -math.inf), (high, math.inf)):
        value = getattr(bound, "data", bound)  # a constant's
        if value is not None and not isinstance(value, int | float | np.number | np.ndarray):
            return None
        numbers = np.ravel(none if value is None else value)
        if len(numbers) != 1:
            return None
        bounds.append(float(numbers[0]))
    low, high = bounds
    if math.isinf(low) and math.isinf(high):
        return real(shape)
    if math.isinf(high):
        return greater_than(low, shape)
    return less_than(high, shape) if math.isinf(low) else interval(low, high, shape)


def arrays(variables) -> dict:
    return {name: np.asarray(value) for name, value in variables.items()}
