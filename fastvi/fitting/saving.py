"""Results of fits on disk: one ``.npz`` of arrays and JSON, no pickle."""

import json
import pathlib
from typing import Any

import numpy as np

from ..estimators.options import check_pair
from ..results import Estimate
from ..rng import Key
from ..targets.constraints import Space
from ..targets.latents import Latents
from ..targets.parameters import Parameters
from ..targets.target import Target
from .checkpoint import as_rounds, as_table, place
from .family_files import described, restored
from .result import FitResult

FORMAT = "fastvi fit 2"
NUMBERS = ("converged", "message", "method", "num_samples", "gain", "blur", "khat")
OF_ELBO = ("value", "standard_error", "num_samples", "num_neginf", "method", "converged", "degrees_of_freedom", "khat",
           "ess", "note", "interval_reliable", "expected_error")  # fmt: skip
OF_SPACE = ("name", "shape", "dim", "low", "high", "transform")


def save(found: Any, path: Any) -> None:
    """See :meth:`FitResult.save`."""
    own: list[np.ndarray] = []
    q, spaces, latents = described(found.q, own), None, None
    if isinstance(found.parameters, Latents):
        latents = found.parameters.shapes
    elif found.parameters is not None:
        spaces = [[name, {k: getattr(space, k) for k in OF_SPACE}] for name, space in found.parameters.items()]
    head = {name: plain(getattr(found, name)) for name in NUMBERS}
    head |= dict(format=FORMAT, q=q, parameters=spaces, latents=latents, key=found.key.word)
    head["elbo"] = {name: plain(getattr(found.elbo, name)) for name in OF_ELBO}
    head["elbo_key"] = None if found.elbo.key is None else found.elbo.key.word
    arrays = {f"q{k}": array for k, array in enumerate(own)}
    if found.natural_gradient is not None:
        arrays["natural_gradient"] = found.natural_gradient
    history = as_table(found.history)
    with open(place(path, "path"), "wb") as file:
        np.savez(file, head=np.array(json.dumps(head)), history=history, **arrays)  # type: ignore[arg-type]


def plain(value):
    """A NumPy number as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def load(path: str | pathlib.Path, target: Target | None = None) -> FitResult:
    """A result that :meth:`FitResult.save` wrote: q, names, spaces and what was said of the fit, to the same bits.

    Parameters
    ----------
    path : path
        nothing in the file is run
    target : Target, optional
        what was fitted, or what the result is to be judged by: for weights, ``diagnosis``, ``to_arviz``

    Returns
    -------
    FitResult
        ``draws``, ``summary`` and ``predict`` need no target

    See Also
    --------
    fit

    Examples
    --------
    >>> import pathlib, tempfile, fastvi as vi
    >>> target = vi.Target(lambda mu: vi.normal_logpdf(mu, 1.0, 2.0), {"mu": vi.real()})
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "fit.npz"
    >>> vi.fit(target, "mean_field", rng=0).save(path)
    >>> round(vi.load(path).summary()["mu"]["sd"], 1)
    2.0
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            head = json.loads(str(file["head"]))
            arrays = [file[f"q{k}"] for k in range(sum(name[0] == "q" for name in file.files))]
            left = file["natural_gradient"] if "natural_gradient" in file.files else None
            history = file["history"]
        if head["format"] != FORMAT:
            raise ValueError(f"format {head['format']!r}, expected {FORMAT!r}")
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"path: {path} is no saved fit ({type(error).__name__}: {error})") from None
    elbo = Estimate(**head["elbo"], key=None if head["elbo_key"] is None else Key(head["elbo_key"]))
    numbers = {name: head[name] for name in NUMBERS}
    q, key = restored(head["q"], arrays), Key(head["key"])
    if target is not None:
        check_pair(target, q)
    state = b"" if target is None else target.density.data_state()
    found = FitResult(
        q, elbo, as_rounds(history), key=key, natural_gradient=left, target=target, data_state=state, **numbers
    )
    if head["parameters"] is not None:
        named = {name: Space(**(space | dict(shape=tuple(space["shape"])))) for name, space in head["parameters"]}
        vars(found)["_parameters"] = Parameters(named)
    elif head["latents"] is not None:
        vars(found)["_parameters"] = Latents({name: tuple(shape) for name, shape in head["latents"].items()})
    return found
