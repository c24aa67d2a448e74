"""Named parameters: where each stands in z, and which arguments of a density they are."""

import inspect
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ..kernels.density import abi
from ..kernels.spaces import Row, Stage
from .constraints import KERNELS, Space

if TYPE_CHECKING:
    from ..kernels.density.named_inputs import Argument, Named

PLACES = {"log_": "log", "log1m_": "log1m", "": "x"}  # of an argument's prefix, the member of a Row


class Parameters(Mapping):
    """Names and spaces, in the order in which they lie in z."""

    def __init__(self, given: Any) -> None:
        if not isinstance(given, Mapping) or not given:
            raise TypeError(
                f"parameters: expected a dict of names and spaces, such as {{'mu': vi.real()}}, got "
                f"{checks.describe(given)}"
            )
        self.places: dict[str, slice] = {}
        self.dim = 0
        for name, space in given.items():
            if not isinstance(name, str) or not name.isidentifier():
                raise TypeError(f"parameters: expected names of arguments, got {checks.describe(name)}")
            if not isinstance(space, Space):
                what = checks.describe(space)
                raise TypeError(f"parameters[{name!r}]: expected a space, such as vi.real(), got {what}")
            self.places[name] = slice(self.dim, self.dim + space.dim)
            self.dim += space.dim
        self._spaces: dict[str, Space] = dict(given)

    def __getitem__(self, name: str) -> Space:
        return self._spaces[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._spaces)

    def __len__(self) -> int:
        return len(self._spaces)

    def __repr__(self):
        return f"{{{', '.join(f'{name}: {space!r}' for name, space in self.items())}}}"

    def __reduce__(self):
        return Parameters, (self._spaces,)

    @cached_property
    def stage(self) -> Stage:
        """x of all parameters one after the other."""
        return self._stage({name: {""} for name in self}, False)[0]

    def _stage(self, wanted, in_place) -> tuple[Stage, dict[str, "Argument"]]:
        """What writes the wanted numbers, {name: prefixes}, and where each argument is then.

        ``in_place`` leaves in z what is a part of z as it is."""
        from ..kernels.density.named_inputs import Argument

        rows, found, height = [], {}, 0
        for name, space in self.items():
            places, start = {}, self.places[name].start
            for prefix in sorted(wanted[name]):
                is_u = space.name == "real" or prefix == "log_" and space.transform == "exp"
                if is_u and in_place:
                    found[prefix + name] = Argument(space.shape, start, True)
                    continue
                found[prefix + name] = Argument(space.shape, height)
                places[PLACES[prefix]] = height
                height += space.count
            if places or space.name != "real":
                kernel, size = KERNELS[space.transform or space.name], (*space.shape, 1)[0]
                row = Row(kernel, space.count, size, start, low=space.low, high=space.high)
                rows.append(row._replace(**places))
        return Stage(tuple(rows), height), found

    def inputs(self, arguments) -> "Named":
        """For a density with these arguments, each a name or a prefix and a name."""
        from ..kernels.density.named_inputs import Named

        wanted: dict[str, set[str]] = {name: set() for name in self}
        for argument in arguments:
            prefix, name = self.split(argument)
            wanted[name].add(prefix)
        (stage, places), (copied, separate) = self._stage(wanted, True), self._stage(wanted, False)
        return Named(tuple(places[a] for a in arguments), stage, tuple(separate[a] for a in arguments), copied)

    def split(self, argument: str) -> tuple[str, str]:
        """(prefix, name) of an argument; KeyError where it is none of ours."""
        if argument in self:
            return "", argument
        for prefix in ("log_", "log1m_"):
            name = argument.removeprefix(prefix)
            if name != argument and name in self and prefix in self[name].logs:
                return prefix, name
        raise KeyError(argument)

    def known(self, argument: str) -> bool:
        try:
            return bool(self.split(argument))
        except KeyError:
            return False

    def arguments_of(self, function, number_of_data: int, what: str = "log_density", partly: bool = False) -> list[str]:
        """The arguments of a density that are parameters, in its order; data follow by position.

        ``partly`` allows that some are left out."""
        given = list(inspect.signature(function).parameters.values())
        shown = f"{function.__name__}({', '.join(map(str, given))})"
        for p in given:
            if p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
                raise TypeError(f"{what}: {shown} has the argument {p}; name each parameter and each item of data")
            if p.default is not p.empty:
                raise TypeError(f"{what}: the default of {p} in {shown} has no meaning; pass it as data")
        names = [p.name for p in given]
        own = names[: max(0, len(names) - number_of_data)]
        for place, name in enumerate(names[len(own) :]):
            if self.known(name):
                raise TypeError(
                    f"{what}: {name} in {shown} is a parameter and stands where data[{place}] is passed; parameters "
                    "come first, by name in any order, then data by position"
                )
        undeclared = [name for name in own if not self.known(name)]
        missing = [name for name in self if all(self.split(a)[1] != name for a in own if self.known(a))]
        missing = [] if partly else missing
        if undeclared or missing:
            wanted = ", ".join([*self, *(f"data[{i}]" for i in range(number_of_data))])
            wrong = [f"{name} is not declared" for name in undeclared]
            wrong += [f"{name} is no argument" for name in missing]
            raise TypeError(
                f"{what}: expected {function.__name__}({wanted}), parameters by name in any order, then data; got "
                f"({', '.join(names)}): {', '.join(wrong)}"
            )
        return own

    def flat(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, dim) as (x (n, numbers of all parameters), log |J| (n,)), to the bits that densities get."""
        from ..kernels.density import constrained  # brings the lanes, which take a while to import

        n = len(z)
        width = -(-max(n, 1) // abi.LANE_WIDTH) * abi.LANE_WIDTH
        tile, log_j, x = np.zeros((self.dim, width)), np.empty(width), np.empty((self.stage.height, width))
        tile[:, :n] = np.asarray(z).T
        abi.call(constrained.constrain(self.stage).address, tile, np.zeros(1, np.int64), log_j, x)
        return np.ascontiguousarray(x[:, :n].T), log_j[:n]

    def constrain(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """Points (n, dim) by name, (n, *shape) each."""
        x, start, found = self.flat(z)[0], 0, {}
        for name, space in self.items():
            found[name] = x[:, start : start + space.count].reshape(len(z), *space.shape)
            start += space.count
        return found

    def unconstrain(self, values: Any, what: str = "values", partly: bool = False) -> np.ndarray:
        """z of named values; those that are left out, where that is allowed, at z = 0."""
        if not isinstance(values, Mapping):
            raise TypeError(f"{what}: expected a dict of {', '.join(self)}, got {checks.describe(values)}")
        unknown = [str(name) for name in values if name not in self]
        missing = [] if partly else [name for name in self if name not in values]
        if unknown or missing:
            wrong = [f"{name} is not declared" for name in unknown] + [f"{name} is missing" for name in missing]
            raise ValueError(f"{what}: expected {', '.join(self)}; {', '.join(wrong)}")
        z = np.zeros(self.dim)
        for name, value in values.items():
            z[self.places[name]] = self[name].unconstrain(f"{what}[{name!r}]", value)
        return z
