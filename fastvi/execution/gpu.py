"""A job on a GPU, and which jobs a GPU takes.

numba-cuda is imported when somebody asks for it and not before.
"""

from ..families.factors import Factors
from ..kernels.sums.control_variate import NOTHING
from ..rng import Key
from ..targets.density import agree
from .job import NO_WEIGHTS, Job, Sums, job_of

# Draws times dimensions from which "auto" takes the GPU: some 0.1 s of one CPU core, against launches and a transfer.
# Committed, not measured where it runs: the choice is a function of the arguments and of whether there is a GPU.
AUTO_SIZE = 2**25


def require(target, q, draws: str = "iid", method: str | None = None, pathwise: tuple = ()) -> None:
    """Raise, in one line, where ``backend="cuda"`` cannot do what is asked."""
    from ..kernels.gpu import device

    missing = device.why_not()
    if missing:
        raise RuntimeError(f"backend='cuda': {missing}")
    reason = refused(target, q, draws, method, pathwise)
    if reason:
        raise ValueError(reason)


def refused(target, q, draws: str = "iid", method: str | None = None, pathwise: tuple = ()) -> str | None:
    """Why a problem is not for a GPU, or None."""
    from ..kernels.gpu import cuda, scores

    if draws != "iid":
        return f"draws: backend='cuda' takes 'iid', got {draws!r}"
    if method in pathwise:
        return f"estimator: {method!r} needs the gradient of log p, which is made on backend='cpu' only"
    factors = isinstance(q, Factors)
    if method is not None and factors and q.has_points:
        return "q: a Delta needs the gradient of log p, which is made on backend='cpu' only"
    if target.density.source is None:
        return f"target: {target.name} is a {target.density.what}, which runs on backend='cpu' only"
    if q.family not in scores.SCORES:
        return f"q: {type(q).__name__} has no kernels for backend='cuda'"
    size, what = (len(q.arrays[1]), "rows of scores") if factors else (q.dim, "dimensions")
    if size > cuda.MAX_DIM:
        return f"q: backend='cuda' keeps a draw in each thread and takes up to {cuda.MAX_DIM} {what}, got {size}"
    return None


def settle(backend: str, target, q, num_samples: int, method: str | None = None, pathwise: tuple = ()) -> str:
    """ "cpu" or "cuda" for i.i.d. draws that count; "auto" never fails where the CPU would not."""
    if backend != "auto":
        return backend
    if num_samples * q.dim < AUTO_SIZE:
        return "cpu"
    from ..kernels.gpu import device, launch

    if device.why_not() or refused(target, q, "iid", method, pathwise):
        return "cpu"
    try:
        launch.weights_kernel(problem(target, job_of(target, q, 1, Key(0), 0)), False, False)
    except Exception:  # what CUDA cannot compile, data that do not fit: the CPU can
        return "cpu"
    return "cuda"


def problem(target, job: Job):
    """What ``kernels.gpu.launch`` sweeps."""
    from ..kernels.density import abi
    from ..kernels.gpu import launch

    q, density = job.q, target.density
    data = target.on_device.current(target.data)
    compiled, kinds = density.values(), abi.data_types(target.data)
    address = job.key.word, job.stream, job.first_draw, job.num_samples
    dtype, inputs = job.dtype, density.inputs
    return launch.Problem(density.source, compiled, kinds, data, q.family, q.dim, *q.arrays, *address, dtype, inputs)


class Gpu:
    """The first GPU."""

    def run(self, target, job: Job, report=None) -> Sums:
        """The chunks of a job; the same contract as :meth:`fastvi.execution.threads.Threads.run`."""
        from ..kernels.gpu import launch

        trust(target, job.q, job.key)
        block = launch.block_of(job.q.family, job.q.dim, job.q.arrays[1].shape, job.num_samples, bool(job.gradient))

        def blocks_done(count):
            report(count * block)

        terms = job.control_variate.arrays if job.control_variate is not None else NOTHING
        told = None if report is None else blocks_done
        try:
            rows, sums = launch.sweep(problem(target, job), bool(job.gradient), terms, told)
        except KeyboardInterrupt as interrupt:
            if hasattr(interrupt, "partial"):
                done_rows, done_sums = interrupt.partial
                interrupt.partial = Sums(done_rows, done_sums, NO_WEIGHTS)
            raise
        return Sums(rows, sums, NO_WEIGHTS)


def trust(target, q, key) -> None:
    """Let the GPU's log p agree once with Python's, at the first two draws."""
    from ..kernels.gpu import launch
    from ..kernels.sums import moments
    from ..rng import SAMPLE

    compiled = target.density.trusted(lambda: q.sample(2, rng=key))
    if target.agreed_on_gpu is compiled:
        return
    points = q.sample(2, rng=key)
    for draw, value in enumerate(target.density.looked_up(points)):
        job = job_of(target, q, 1, key, SAMPLE, first_draw=draw)
        try:
            rows, _ = launch.sweep(problem(target, job), False, NOTHING)
        except KeyboardInterrupt as interrupt:
            vars(interrupt).pop("partial", None)  # no part of what was asked for
            raise
        raised, found = rows[0, moments.RAISED] > 0, float(rows[0, moments.MEAN_P])
        if raised or not agree(value, found):
            what = "raises" if raised else f"gives {found!r}"
            raise ValueError(
                f"log_density: {target.name} gives {value!r} in Python and {what} on the GPU, at "
                f"{target.density.at(points[draw])}"
            )
    target.agreed_on_gpu = compiled
