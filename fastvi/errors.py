"""Errors with a meaning of their own."""


class NonFiniteError(ValueError):
    """The log density was NaN or +inf at some draws.

    Attributes
    ----------
    count, num_samples : int
        how many of how many draws
    draw : int
        index of the first of them
    z : ndarray (dim,)
        that draw

    Examples
    --------
    >>> import math, fastvi as vi
    >>> try:
    ...     vi.elbo(vi.Target(lambda z: math.log(z[0]), 1), vi.MeanFieldGaussian([0.0], [1.0]), 1000, rng=0)
    ... except vi.NonFiniteError as error:
    ...     print(error.count > 400, error.z < 0.0)
    True [ True]
    """

    def __init__(self, message: str, *, count: int, num_samples: int, draw: int, z) -> None:
        super().__init__(message)
        self.count, self.num_samples, self.draw, self.z = count, num_samples, draw, z

    def __reduce__(self):
        return _non_finite, (str(self), self.count, self.num_samples, self.draw, self.z)


def _non_finite(message, count, num_samples, draw, z):
    return NonFiniteError(message, count=count, num_samples=num_samples, draw=draw, z=z)


class ExecutorError(RuntimeError):
    """An executor broke: it could not take a chunk of draws, or gave no answer for one.

    Attributes
    ----------
    partial : Estimate or GradientEstimate
        from the chunks that are finished
    finished : dict
        those chunks; they count wherever the same call needs them again
    key : Key
        of the draws: ``rng=error.key`` makes the same call where rng was None or a generator

    Examples
    --------
    >>> import fastvi as vi
    >>> class Broken:
    ...     def submit(self, function, *arguments):
    ...         raise RuntimeError("the cluster is gone")
    >>> target, q = vi.Target(lambda z: -(z[0] ** 2), 1), vi.MeanFieldGaussian([0.0], [1.0])
    >>> try:
    ...     vi.elbo(target, q, 10_000, executor=Broken(), estimator="plain", rng=0)
    ... except vi.ExecutorError as error:
    ...     print(len(error.finished))
    0
    """

    def __init__(self, message: str, finished: dict, key) -> None:
        super().__init__(message, finished, key)
        self.finished, self.key = finished, key

    def __str__(self):
        return self.args[0]

    def resume(self, executor) -> "Resumed":
        """An executor that has the finished chunks already: pass it to the same call again, with the same target."""
        return Resumed(executor, self.finished)


class Resumed:
    """An executor, and the chunks that another has finished."""

    def __init__(self, executor, finished):
        if not callable(getattr(executor, "submit", None)):
            raise TypeError(f"executor: expected another executor to resume with, got {executor!r:.60}")
        self.executor, self.finished = executor, finished

    def submit(self, function, *arguments):
        return self.executor.submit(function, *arguments)


STOPPED = (KeyboardInterrupt, ExecutorError)  # what an estimator raises with the ``partial`` result
