"""Densities that are not written in Python for Numba: C functions, by the contract of ``kernels.contract``."""

from ..kernels.density import abi


class Foreign:
    """Where a target finds the C functions of such a density; the base of those that make their own.

    Attributes
    ----------
    what : str
        for messages
    tile : int or None
        draws that it wants at a time, a power of two; None for what suits the caches
    keep : tuple
        what must outlive the addresses
    opaque : bool
        whether it may change without a sign of it but in its pickle
    """

    what = "C function"
    tile: int | None = None
    keep: tuple = ()
    opaque = False

    def values(self) -> abi.Compiled:
        """The function of values alone."""
        raise NotImplementedError

    def gradients(self) -> abi.Compiled:
        """The function of values and gradients; raises TypeError where there is none."""
        return self.values()

    def memory(self) -> abi.Memory | None:
        """The data as they are now, or None where the target's own do."""
        return None

    def functions(self) -> list:
        """Python functions that decide its numbers."""
        return []

    def check(self, points) -> bool:
        """Whether a look at the density before its first use, at points (n, dim), sufficed; raises what is wrong."""
        return True

    def failure(self, z=None) -> BaseException | None:
        """What the last call, or one at a draw z, raised, where that is known; told once."""
        return None

    def over_points(self, points, log_p, gradient) -> bool:
        """Evaluate points by a way of its own; False where there is none."""
        return False

    def remake(self, target) -> tuple:
        """(function, arguments) that make the target again in another process."""
        raise TypeError(
            f"{target.name}: a target from an address cannot be pickled; Target.from_factory(make, ...) has it made "
            "anew where it arrives"
        )


class Address(Foreign):
    """A C function that somebody else keeps alive, or :attr:`keep`."""

    def __init__(self, address: int) -> None:
        self.compiled = abi.Compiled(address, False, "it is a C function", (), smooth=True)

    def values(self) -> abi.Compiled:
        return self.compiled
