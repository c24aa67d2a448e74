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
    """

    def __init__(self, message, *, count, num_samples, draw, z):
        super().__init__(message)
        self.count, self.num_samples, self.draw, self.z = count, num_samples, draw, z

    def __reduce__(self):
        return _non_finite, (str(self), self.count, self.num_samples, self.draw, self.z)


def _non_finite(message, count, num_samples, draw, z):
    return NonFiniteError(message, count=count, num_samples=num_samples, draw=draw, z=z)
