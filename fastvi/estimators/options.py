"""What an estimator is asked for: its arguments, validated once."""

from dataclasses import dataclass
from typing import Any

from .. import checks
from ..execution import executors, gpu
from ..execution.job import Job, job_of
from ..execution.progress import Progress
from ..execution.sweep import Place, place
from ..families.base import Family
from ..families.delta import Delta
from ..families.factors import Factors
from ..families.product import Product
from ..rng import SAMPLE, Key, RandomSource, key_from
from ..targets.constraints import VECTORS
from ..targets.latents import in_support
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
    target = check_pair(target, q)
    num_samples = checks.count("num_samples", num_samples)
    estimator = same_for(q, checks.choice("estimator", estimator, estimators))
    check_options(draws, dtype, backend, executor)
    limit = sample_limit(atol, max_samples, num_samples)
    options = dict(estimator=estimator, draws=draws, dtype=dtype, backend=backend, executor=executor)
    return Request(target, q, num_samples, key_from(rng), **options, atol=atol, max_samples=limit, **others)


def check_pair(target, q) -> Target:
    """A target and an approximation that fit each other: the target as q sees it."""
    if not isinstance(target, Target):
        raise TypeError(f"target: expected a fastvi.Target, got {checks.describe(target)}")
    if not isinstance(q, Family):
        raise TypeError(f"q: expected a Gaussian family, a Bernoulli or a Product, got {checks.describe(q)}")
    if isinstance(q, Factors) and target.parameters is not None:
        target = seen_by(target, q)
    if q.dim != target.dim:
        raise ValueError(f"q: expected {target.dim} dimensions, as the target has, got {q.dim}")
    return target


def within_spaces(target, q):
    """q with its point masses in the spaces that a target declares for them, so that steps are in free coordinates."""
    if not isinstance(target, Target) or target.parameters is None or target.latents is not None:
        return q
    if isinstance(q, Delta) and len(target.parameters) == 1:
        return adopted(q, *target.parameters.items())
    if not isinstance(q, Product) or len(q.families) != len(target.parameters):
        return q
    pairs = zip(q.families, target.parameters.items(), strict=True)
    return type(q)._made([adopted(each, item) for each, item in pairs], q.names)


def adopted(family, item):
    """A point mass in a declared space, unless it has one"""
    name, space = item
    if not isinstance(family, Delta) or family.space is not None or space.name == "real":
        return family
    if family.shapes[0] != space.shape or space.name in VECTORS:
        expected = f"a Delta of shape {space.shape}" if space.name not in VECTORS else "no Delta"
        raise ValueError(f"q: {name} is declared as {space!r}: expected {expected}, got {family!r}")
    return family.within(space)


def seen_by(target: Target, q: Factors) -> Target:
    """A target of named parameters as the factors of q see it, each in its own support without log |J|; Gaussian ones
    stay on the unconstrained axis.

    Raises
    ------
    ValueError
        for other names, or a factor whose support is not the space of its parameter
    """
    spaces = target.parameters
    assert spaces is not None
    declared = {name: space.shape for name, space in spaces.items()}
    if None not in q.names and (list(declared) != list(q.names) or target.latents and declared != q.latents):
        raise ValueError(f"q: {target.name} has {shapes(declared)}, in this order, and q has {shapes(q.latents)}")
    if target.latents or all(space.name == "real" for space in spaces.values()):
        return target
    if len(q.blocks) != len(declared):
        raise ValueError(f"q: expected a factor for each of {shapes(declared)}, got {q!r}")
    constrained = []
    for (name, space), block in zip(spaces.items(), q.blocks, strict=True):
        if block.support is not None and (block.support != space.name or block.size != space.count):
            kind = type(block).__name__.removesuffix("Block")
            raise ValueError(
                f"q: {name} is declared as {space!r} and has a {kind} factor of {block.size} numbers, whose support is "
                f"{block.support}; declare it as that, or make the target from q.latents"
            )
        if block.support not in (None, "real"):
            constrained.append(name)
        if block.is_point and space.name != "real":
            if block.size != space.count or block.space not in (None, space):
                raise ValueError(
                    f"q: {name} is declared as {space!r} and q has a Delta of {block.size} numbers in "
                    f"{block.space or 'no space'}; give it the same"
                )
            constrained.append(name)
    return in_support(target, tuple(constrained)) if constrained else target


def shapes(latents) -> str:
    """Names and shapes, for a message"""
    return ", ".join(f"{name} of shape {shape}" for name, shape in latents.items())


PATHWISE = ("pathwise", "sticking_the_landing", "pathwise_quadratic")
MIXED = ("mixed", "mixed_linear", "mixed_quadratic", "mixed_quadratic_hessian")
NEED_GRADIENT = (*PATHWISE, *MIXED)  # of log p


def kind_of(method: str, q) -> str | None:
    """The sums of a sweep: "mixed", "points" where only point masses have paths, None where scores are all."""
    if method in (*MIXED, "pathwise"):
        return "mixed"
    return "points" if q.has_points else None


def same_for(q, estimator: str) -> str:
    """The name of an estimator in q's family: of degree one, "diagonal" for a Gaussian is "linear" for factors.

    Raises
    ------
    ValueError
        for what differentiates through z where q has discrete factors
    """
    if not isinstance(q, Factors):
        return {"linear": "diagonal", "mixed": "pathwise"}.get(estimator, estimator)
    if estimator == "mixed" and all(not block.has_paths for block in q.blocks):
        raise ValueError(f"estimator: 'mixed' differentiates through some factors, and {q!r} has none; use 'auto'")
    if estimator == "pathwise" and q.without_paths or estimator in PATHWISE[1:]:
        why = f"{q.without_paths} has its scores alone" if q.without_paths else "a Product does so by 'pathwise' alone"
        why = f"{q.discrete} is discrete" if q.discrete else why
        raise ValueError(f"estimator: {estimator!r} differentiates through z, and {why}; use 'mixed' or 'auto'")
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
