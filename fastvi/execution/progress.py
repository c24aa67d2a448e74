"""How far a sweep is, for people."""

from collections.abc import Callable

from .. import checks

Progress = bool | Callable[[int, int], object] | None


def reporter(progress: Progress, total: int, unit: str = "draw"):
    """(report(done), close) for ``progress``: False, True for a tqdm bar, or a function of (done, total) draws."""
    if progress is False or progress is None:
        return None, lambda: None
    if callable(progress):
        return lambda done: progress(min(done, total), total), lambda: None
    if progress is not True:
        raise TypeError(f"progress: expected a bool or a function of (done, total), got {checks.describe(progress)}")
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install 'fastvi[progress]'") from None
    bar = tqdm(total=total, unit=unit, unit_scale=True)
    return lambda done: bar.update(min(done, total) - bar.n), bar.close
