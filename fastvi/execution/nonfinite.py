"""A log density or a gradient that is not finite: one error for everybody."""

import numpy as np

from ..errors import NonFiniteError
from ..kernels.sums import moments

WHAT = {
    "value": "the log density {} is not finite (nan or +inf)",
    "gradient": "the gradient of the log density {} is not finite",
}


def judge(total, target, job, tile: int, pilot: bool = False) -> None:
    """Raise what is wrong with the moments of a sweep: the density raised, or, but for a pilot, was not finite."""
    if total[moments.RAISED]:
        first = int(total[moments.RAISED]) - 1
        target.density.raise_again(np.array([job.draw(first + k) for k in range(tile)]), first)
    if pilot:
        return
    if total[moments.BAD] or total[moments.NEGATIVE_INFINITE]:
        _values_of_a_sweep(total, target, job)
    if total[moments.BAD_GRADIENT] and not total[moments.NEGATIVE_INFINITE]:
        draw = int(total[moments.FIRST_BAD_GRADIENT]) - 1
        z = job.draw(draw)
        found, n = target.gradient(z, num_threads=1), int(total[moments.COUNT])
        raise _error(target, "gradient", found, int(total[moments.BAD_GRADIENT]), n, draw, z)


def _values_of_a_sweep(total, target, job) -> None:
    """NaN and +inf.  -inf is a legal value, unless it stands where Python would have raised."""
    bad = int(total[moments.BAD])
    draw = int(total[moments.FIRST_BAD if bad else moments.FIRST_NEGATIVE]) - 1
    z, cause = job.draw(draw), None
    try:
        found = target.density.reference(z, draw)
    except Exception as error:
        if not bad:
            raise
        cause, found = error, float("nan")
    if found is None:
        found = target.density.evaluate(z[None])[0][0]
    if bad:
        raise _error(target, "value", found, bad, int(total[moments.COUNT]), draw, z) from cause


def check_values(target, z: np.ndarray, log_p: np.ndarray, first_draw: int = 0) -> None:
    """Raise for NaN and +inf among log p at draws z (n, dim)."""
    _check(target, "value", z, log_p, np.isnan(log_p) | (log_p == np.inf), first_draw)


def check_gradients(target, z: np.ndarray, slopes: np.ndarray, first_draw: int = 0) -> None:
    """Raise for a gradient that is not finite."""
    _check(target, "gradient", z, slopes, ~np.isfinite(slopes).all(axis=1), first_draw)


def _check(target, what, z, found, bad, first_draw):
    if bad.any():
        k = int(np.argmax(bad))
        raise _error(target, what, found[k], int(bad.sum()), len(z), first_draw + k, z[k])


def nan_in(data) -> str:
    """The likeliest reason, if it is there: NaN among the data."""
    counts = [(i, int(np.isnan(a).sum())) for i, a in enumerate(data) if np.asarray(a).dtype.kind == "f"]
    return "".join(f"; data[{i}] has {count} NaN" for i, count in counts if count)


def _error(target, what, found, bad, n, draw, z) -> NonFiniteError:
    share = f"{bad:,} of {n:,} draws ({bad / n:.3g})"
    where = f"draw {draw}, {target.density.at(z)}{nan_in(target.data)}"
    return NonFiniteError(
        f"{WHAT[what].format(target.name)} at {share}, first {found} at {where}",
        count=bad,
        num_samples=n,
        draw=draw,
        z=z,
    )
