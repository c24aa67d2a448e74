"""Where a sweep runs, and the sweep on a GPU: the engine's other half.

numba-cuda is imported when somebody asks for it and not before.
"""

from ..kernels.sums.control_variate import NOTHING

BACKENDS = ("cpu", "cuda", "auto")
# Draws times dimensions from which "auto" takes the GPU: some 0.1 s of one CPU core, against launches and a transfer.
# Committed, not measured where it runs: the choice is a function of the arguments and of whether there is a GPU.
AUTO_SIZE = 2**25


def require(target, q, draws="iid", method=None, paths=()) -> None:
    """Raise, in one line, where ``backend="cuda"`` cannot do what is asked."""
    from ..kernels.gpu import device

    missing = device.why_not()
    if missing:
        raise RuntimeError(f"backend='cuda': {missing}")
    reason = refused(target, q, draws, method, paths)
    if reason:
        raise ValueError(reason)


def refused(target, q, draws="iid", method=None, paths=()):
    """Why a problem is not for a GPU, or None."""
    from ..kernels.gpu import cuda

    if draws != "iid":
        return f"draws: backend='cuda' takes 'iid', got {draws!r}"
    if method in paths:
        return f"estimator: {method!r} needs the gradient of log p, which is made on backend='cpu' only"
    if target.foreign is not None:
        return f"target: {target.name} is a {target.foreign.what}, which runs on backend='cpu' only"
    if q.dim > cuda.MAX_DIM:
        return f"q: backend='cuda' keeps a draw in each thread and takes up to {cuda.MAX_DIM} dimensions, got {q.dim}"
    return None


def settle(backend, target, q, num_samples, method=None, paths=()) -> str:
    """ "cpu" or "cuda" for i.i.d. draws that count; "auto" never fails where the CPU would not."""
    if backend != "auto":
        return backend
    if num_samples * q.dim < AUTO_SIZE:
        return "cpu"
    from ..kernels.gpu import device, launch

    if device.why_not() or refused(target, q, "iid", method, paths):
        return "cpu"
    try:
        launch.weights_kernel(problem(target, q, 1, 0, 0, 0), False, False)
    except Exception:  # what CUDA cannot compile, data that do not fit: the CPU can
        return "cpu"
    return "cuda"


def problem(target, q, num_samples, word, stream, first_draw, dtype="float64"):
    """What ``kernels.launch`` sweeps."""
    from ..kernels.density import abi
    from ..kernels.gpu import launch

    kinds = abi.data_types(target.data)
    data = target.on_device.current(target.data)
    address = word, stream, first_draw, num_samples
    return launch.Problem(target.log_density, target.compiled, kinds, data, q.family, q.dim, *q.arrays, *address, dtype)


def run(target, q, num_samples, key, stream, *, gradient, surrogate, first_draw, dtype, reporter):
    """(rows, sums) of a sweep, as the chunks of the CPU's; KeyboardInterrupt has them as ``.partial``."""
    from ..kernels.gpu import launch

    trust(target, q, key)
    report, close = reporter(launch.block_of(q.family, q.dim, num_samples, gradient))
    terms = surrogate.arrays if surrogate is not None else NOTHING
    try:
        return launch.sweep(
            problem(target, q, num_samples, key.word, stream, first_draw, dtype), gradient, terms, report
        )
    finally:
        close()


def trust(target, q, key) -> None:
    """Let the GPU's log p agree once with Python's, at the first two draws."""
    from ..kernels.gpu import launch
    from ..kernels.sums import moments
    from ..rng import SAMPLE
    from ..targets.derivatives import agree

    compiled = target.trusted(lambda: q.sample(2, rng=key))
    if target.agreed_on_gpu is compiled:
        return
    points = q.sample(2, rng=key)
    for draw, value in enumerate(target.looked_up(points)):
        try:
            rows, _ = launch.sweep(problem(target, q, 1, key.word, SAMPLE, draw), False, NOTHING)
        except KeyboardInterrupt as interrupt:
            vars(interrupt).pop("partial", None)  # no part of what was asked for
            raise
        raised, found = rows[0, moments.RAISED] > 0, float(rows[0, moments.MEAN_P])
        if raised or not agree(value, found):
            what = "raises" if raised else f"gives {found!r}"
            raise ValueError(
                f"log_density: {target.name} gives {value!r} in Python and {what} on the GPU, at z = {points[draw]}"
            )
    target.agreed_on_gpu = compiled
