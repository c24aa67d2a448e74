"""What an estimator is asked for: its arguments, validated once."""

from dataclasses import dataclass
from typing import Any

from .. import checks
from ..execution import executors, gpu
from ..execution.job import Job, job_of
from ..execution.progress import Progress
from ..execution.sweep import Place, place
from ..families.base import Family
from ..families.factors import Factors
from ..rng import SAMPLE, Key, RandomSource, key_from
from ..targets.target import Target
from .precision import sample_limit

DRAWS = ("iid", "antithetic", "sobol")
DTYPES = ("float64", "float32")
BACKENDS = ("cpu", "cuda", "auto")


@dataclass(frozen=True)
class Request:
    """The arguments of an estimator, checked: see :func:`fastvi.elbo` for what each means."""

    target: Target
    q: Family
    num_samples: int
    key: Key
    estimator: str = "auto"
    draws: str = "iid"
    atol: float | None = None
    max_samples: int = 0
    stream: int = SAMPLE
    dtype: str = "float64"
    backend: str = "cpu"
    num_threads: int | None = None
    executor: Any = None
    progress: Progress = False

    @property
    def here(self) -> Place:
        """Where pilots run."""
        return place(self.num_threads)

    def where(self, num_samples: int, method: str | None = None, pathwise: tuple = ()) -> Place | gpu.Gpu:
        """Where the draws that count run; ``num_threads`` is checked wherever that is."""
        here = self.here
        if self.executor is not None:
            return place(self.num_threads, self.executor)
        settled = gpu.settle(self.backend, self.target, self.q, num_samples, method, pathwise)
        return gpu.Gpu() if settled == "cuda" else here

    def job(self, num_samples: int, stream: int, **what) -> Job:
        """A sweep over draws of one of the request's streams."""
        return job_of(self.target, self.q, num_samples, self.key, stream, **what)


def request(
    target,
    q,
    num_samples,
    *,
    estimator: str,
    estimators: tuple,
    draws: str = "iid",
    atol: float | None = None,
    max_samples: int | None = None,
    rng: RandomSource = None,
    dtype: str = "float64",
    backend: str = "cpu",
    executor=None,
    **others,
) -> Request:
    """Check everything that an estimator was given, of which ``estimators`` are the ones it knows."""
    check_pair(target, q)
    num_samples = checks.count("num_samples", num_samples)
    estimator = same_for(q, checks.choice("estimator", estimator, estimators))
    check_options(draws, dtype, backend, executor)
    limit = sample_limit(atol, max_samples, num_samples)
    options = dict(estimator=estimator, draws=draws, dtype=dtype, backend=backend, executor=executor)
    return Request(target, q, num_samples, key_from(rng), **options, atol=atol, max_samples=limit, **others)


def check_pair(target, q) -> None:
    """A target and an approximation that fit each other."""
    if not isinstance(target, Target):
        raise TypeError(f"target: expected a fastvi.Target, got {checks.describe(target)}")
    if not isinstance(q, Family):
        raise TypeError(f"q: expected a Gaussian family, a Bernoulli or a Product, got {checks.describe(q)}")
    if q.dim != target.dim:
        raise ValueError(f"q: expected {target.dim} dimensions, as the target has, got {q.dim}")
    if isinstance(q, Factors) and target.parameters is not None:
        check_names(target, q)


def check_names(target, q: Factors) -> None:
    """Factors that fit the names and spaces of a target."""
    declared = {name: space.shape for name, space in target.parameters.items()}
    if None not in q.names and (list(declared) != list(q.names) or target.latents and declared != q.latents):
        raise ValueError(f"q: {target.name} has {shapes(declared)}, in this order, and q has {shapes(q.latents)}")
    if target.latents:
        return
    for block, spot, name in zip(q.blocks, q.spots, q.names, strict=True):
        for parameter, covers in target.parameters.places.items():
            space = target.parameters[parameter]
            if space.name != "real" and spot.start < covers.stop and covers.start < spot.stop and not block.is_gaussian:
                factor = f"{type(block).__name__.removesuffix('Block')} factor{'' if name is None else ' ' + name}"
                raise ValueError(
                    f"q: a {factor} does not have the support of {parameter}, which is declared as {space!r}; declare "
                    f"it as vi.real({space.shape}), or make the target from q.latents"
                )


def shapes(latents) -> str:
    """Names and shapes, for a message"""
    return ", ".join(f"{name} of shape {shape}" for name, shape in latents.items())


PATHWISE = ("pathwise", "sticking_the_landing", "pathwise_quadratic")


def same_for(q, estimator: str) -> str:
    """The name of an estimator in q's family: of degree one, "diagonal" for a Gaussian is "linear" for factors.

    Raises
    ------
    ValueError
        for what differentiates through z where q has discrete factors
    """
    if not isinstance(q, Factors):
        return "diagonal" if estimator == "linear" else estimator
    if estimator in PATHWISE:
        why = f"{q.discrete} is discrete" if q.discrete else "factors of a Product are estimated by their scores"
        raise ValueError(f"estimator: {estimator!r} differentiates through z, and {why}; use 'leave_one_out' or 'auto'")
    return "linear" if estimator == "diagonal" else estimator


def check_options(draws: str, dtype: str, backend: str, executor=None) -> None:
    """The options that estimators share, and what they say to each other."""
    checks.choice("draws", draws, DRAWS)
    checks.choice("dtype", dtype, DTYPES)
    if draws != "iid" and dtype != "float64":
        raise ValueError(f"dtype: draws={draws!r} takes 'float64', got {dtype!r}")
    checks.choice("backend", backend, BACKENDS)
    executors.check(executor)
    if executor is not None and draws != "iid":
        raise ValueError(f"executor: takes draws='iid', got draws={draws!r}")
    if executor is not None and backend == "cuda":
        raise ValueError("executor: its workers compute on backend='cpu', got backend='cuda'")
