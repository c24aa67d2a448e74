"""The log density of a PyMC model: as source that is compiled in lanes, or through PyTensor's Numba backend."""

import functools
import hashlib
import threading
import warnings
from math import prod

import numpy as np

from ..kernels.density import abi, jitted
from ..targets.density import agree
from ..targets.external import ExternalDensity
from ..targets.python_source import PythonDensity
from ..translate.known import Unsupported
from ..translate.translation import Translation
from . import guest, pytensor_graph
from .pymc_names import ModelNames

pymc = guest("pymc", "pymc")
pytensor = guest("pytensor", "pymc")
NUMBA = "NUMBA"
SHAPES = "model: its data have changed the shape of free variables; call from_model anew"


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

    def labels(self) -> dict[tuple[int, int], str]:
        """(start, length) in z of each variable and its name."""
        return {(p.start, p.stop - p.start): name for p, name in zip(self.places, self.names, strict=True)}


class ModelDensity(ModelNames, ExternalDensity):
    """Translated where that is possible; whatever is needed is compiled when it is asked for.

    Attributes
    ----------
    refused : str
        why it is not translated; empty where it is
    """

    what = "PyMC model"
    doubtful = True

    def labels(self) -> dict[tuple[int, int], str]:
        return self.layout.labels()

    def __init__(self, model, name: str, cost: float | None = None, translate: bool = True) -> None:
        self.model, self.layout, self.cost = model, Layout(model), cost
        super().__init__(self.layout.dim, name, cost=cost)
        self.wanted, self.refused = translate, "" if translate else "translate=False"
        x = self.x = pytensor.tensor.vector("x", shape=(self.layout.dim,), dtype="float64")
        parts = zip(self.layout.variables, self.layout.places, self.layout.shapes, strict=True)
        self.in_x = {v: x[place].reshape(shape).astype(v.dtype) for v, place, shape in parts}
        self.log_p = model.logp()
        self.shared = shared_of(self.log_p)
        self.compiling, self.renewing = threading.RLock(), threading.RLock()
        self.compilations: dict[bool, abi.Compiled] = {}
        self.seen: list[np.ndarray] = []
        self.packed: abi.Memory | None = None
        self.translation: Translation | None = None
        self.python: PythonDensity | None = None
        self.stable = None  # the rewritten graph that was translated
        self.compared = False
        self.parameters = self.spaces()
        if translate:
            self.current()

    def data_state(self) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        for shared in self.shared:
            digest.update(np.asarray(shared.get_value(borrow=True)).tobytes())
        return digest.digest()

    @property
    def text(self) -> str | None:
        """The source, where the model is translated."""
        return None if self.current() is None else self.translation.source  # type: ignore[union-attr]

    def current(self) -> PythonDensity | None:
        """The translated density of the data as they are now; None where there is none."""
        with self.renewing:
            now = [s.get_value(borrow=True) for s in self.shared]
            same = len(now) == len(self.seen) and all(a is b for a, b in zip(now, self.seen, strict=True))
            if same and (self.python is not None or self.refused):
                return self.python
            moved = [np.shape(a) for a in now] != [np.shape(a) for a in self.seen]
            if self.seen and moved and Layout(self.model).shapes != self.layout.shapes:
                raise ValueError(SHAPES)
            self.seen, self.packed = now, None
            if self.refused and not (moved and self.wanted):
                return None
            if self.translation is None or moved or self.translation.is_stale():
                self.translation = self.translated()
            if self.translation is None:
                self.python = None
                return None
            data = self.translation.data()
            self.python = PythonDensity(self.translation.function, self.dim, data, None, self.name)
            self.operations = self.python.operations if self.cost is None else self.cost
            return self.python

    def translated(self) -> Translation | None:
        """The model's graph as source; where that cannot be, why, in ``refused``."""
        self.refused, self.compared = "", False
        try:
            if self.stable is None:
                self.stable = pytensor_graph.rewritten(self.in_terms_of_x([self.log_p])[0])
            return pytensor_graph.translate(self.stable, self.x, self.dim, self.name, self.layout.labels())
        except Unsupported as error:
            self.refused = f"{error} is not translated"
        except Exception as error:  # a graph that nobody has thought of must not cost the user the model
            self.refused = f"its translation fails ({type(error).__name__}: {str(error).splitlines()[:1]})"
        return None

    def values(self) -> abi.Compiled:
        own = self.current()
        return self.compiled(False) if own is None else own.values()

    def gradients(self) -> abi.Compiled:
        own = self.current()
        return self.compiled(True) if own is None else own.gradients()

    def trusted(self, draws, gradient=False) -> abi.Compiled:
        own = self.current()
        if own is None:
            return super().trusted(draws, gradient)
        compiled = own.trusted(draws, gradient)
        if not self.compared:
            self.compare(draws()[0], own)
        return super().trusted(draws, gradient) if self.refused else compiled

    def compare(self, z, own) -> None:
        """With PyTensor's own evaluation of the same graph; PyTensor's code takes over where they differ."""
        with self.renewing:
            self.compared = True
            theirs = float(self.in_python(z))
            found = own.evaluate(np.array(z)[None])
            ours = float("nan") if found is None else float(found[0][0])
            if np.isfinite(theirs) and np.isfinite(ours) and not agree(theirs, ours):
                self.refused, self.python = f"its translation gives {ours} where PyTensor gives {theirs}", None
                warnings.warn(
                    f"{self.name}: {self.refused}, so PyTensor's code is used; please report it", stacklevel=2
                )

    def in_python(self, z):
        """log p by the Ops' own Python, nothing compiled."""
        mode = pytensor.compile.mode.Mode(linker="py", optimizer=None)
        function = pytensor.function([self.x], self.stable, mode=mode, on_unused_input="ignore")
        with np.errstate(all="ignore"):
            return function(z)

    def writes_gradient(self, draws) -> bool:
        return True if self.current() is not None else super().writes_gradient(draws)

    @property
    def careful(self) -> bool:  # type: ignore[override]
        return self.python is not None and self.python.careful

    def recompile(self) -> abi.Compiled:
        own = self.current()
        return super().recompile() if own is None else own.recompile()

    def memory(self) -> abi.Memory:
        """What ``pm.set_data`` has put there."""
        with self.renewing:
            own = self.current()
            if own is not None:
                return own.memory()
            if self.packed is None:
                self.packed = abi.Memory([np.ascontiguousarray(a).reshape(np.shape(a)) for a in self.seen])
            return self.packed

    def reference(self, z, draw) -> float | None:  # type: ignore[override]
        own = self.current()
        return super().reference(z, draw) if own is None else own.reference(z, draw)

    def raise_again(self, draws, first=0) -> None:
        own = self.current()
        return super().raise_again(draws, first) if own is None else own.raise_again(draws, first)

    def failure(self, z=None) -> BaseException | None:
        if z is None or self.current() is not None:
            return None
        try:
            self.function([self.log_p])(z)
        except Exception as error:
            return error
        return None

    def functions(self):
        own = self.current()
        return [] if own is None else [own.source]

    def remake(self, target) -> tuple:
        from .pymc import from_model

        return functools.partial(from_model, cost=self.cost, name=target.name, translate=self.wanted), (self.model,)

    def compiled(self, gradient) -> abi.Compiled:
        """PyTensor's C function of values, or of values and gradients."""
        with self.compiling:
            if gradient not in self.compilations:
                outputs = [self.log_p]
                if gradient:
                    slopes = pytensor.gradient.grad(self.log_p, self.layout.variables)
                    outputs.append(pytensor.tensor.concatenate([s.flatten() for s in slopes]))
                function = self.function(outputs)
                reads = [self.shared.index(s) for s in function.get_shared()]
                kinds = jitted.array_types([s.get_value(borrow=True) for s in self.shared])
                compiled = jitted.compile_jitted(function.vm.jit_fn, kinds, reads, gradient)
                why = f"PyTensor's code, as {self.refused}"
                self.compilations[gradient] = compiled._replace(reason=why, smooth=False)
            return self.compilations[gradient]

    def in_terms_of_x(self, outputs):
        return pytensor.graph.replace.clone_replace(outputs, self.in_x)

    def function(self, outputs):
        """A PyTensor function of x, in Numba."""
        with self.model:
            return pymc.pytensorf.compile([self.x], self.in_terms_of_x(outputs), mode=NUMBA, on_unused_input="ignore")


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
