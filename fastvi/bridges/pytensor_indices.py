"""PyTensor's Ops that read and write items at indices."""

import numpy as np

from ..translate.arrays import Array, positions, vector_of
from ..translate.assignment import assign
from ..translate.known import Known, Unsupported, combined
from ..translate.movement import stack, take
from ..translate.pieces import gathered


class Indices:
    fixed: list[Known]

    def fixed_value(self, x):
        """The value of what decides shapes and places."""
        if isinstance(x, Array):
            raise Unsupported("an index that depends on z, or a shape")
        if not isinstance(x, Known):
            return x
        if not x.constant:
            self.fixed.append(x)
        return x.value

    def entries(self, idx_list, args) -> list:
        """The entries of an index: slices, and known numbers and arrays."""
        rest = iter(args)

        def entry(e):
            if isinstance(e, slice):
                return slice(*(None if x is None else entry(x) for x in (e.start, e.stop, e.step)))
            return next(rest)

        return [entry(e) for e in idx_list]

    def places(self, idx_list, args) -> tuple:
        """The same with their values."""

        def bound(x):
            value = None if x is None else self.fixed_value(x)
            return None if value is None else int(value)

        return tuple(
            slice(bound(e.start), bound(e.stop), bound(e.step)) if isinstance(e, slice) else self.fixed_value(e)
            for e in self.entries(idx_list, args)
        )

    def advanced_entries(self, apply, args) -> list:
        idx_list = getattr(apply.op, "idx_list", None)
        return self.entries(idx_list, args) if idx_list else list(args)

    def op_AdvancedSubtensor1(self, apply, args):
        return self.advanced(args[0], [args[1]])

    def op_AdvancedSubtensor(self, apply, args):
        return self.advanced(args[0], self.advanced_entries(apply, args[1:]))

    def advanced(self, a, entries):
        if isinstance(a, Known) or any(isinstance(e, Array) for e in entries):
            raise Unsupported("an index that depends on z")
        if all(e.constant for e in entries if isinstance(e, Known)):
            return take(a, np.asarray(positions(a)[constant_index(entries)]))
        return self.by_data(a, entries)

    def by_data(self, a, entries):
        """Indices that ``pm.set_data`` may change: into a vector, the columns of a matrix, or pairs (i, j)."""
        known = [e for e in entries if isinstance(e, Known)]
        if len(entries) == 1 and known and known[0].ndim == 1:
            if a.ndim == 1:
                return vector_of(gathered(a.along(0).vector(), known[0]))
            if a.ndim == 2:
                places = positions(a)
                return stack([self.by_data(take(a, places[:, j]), known) for j in range(a.shape[1])], 1)
        if len(entries) == len(known) == 2 and a.ndim == 2 and all(k.ndim == 1 for k in known):
            n, width = a.shape
            both = combined(lambda i, j: i % n * width + j % width, known)
            return self.by_data(take(a, np.arange(a.size)), [both])
        if len(entries) == len(known) + 1 == 2 and a.ndim == 2 and all(k.ndim <= 1 for k in known):
            places, first = positions(a), isinstance(entries[0], Known)
            if entries[1 if first else 0] == slice(None) and first:
                return self.by_data(a, known)
        raise Unsupported("an index by data that may change (pm.Data) into more than a vector or a matrix")

    def op_IncSubtensor(self, apply, args):
        at = self.places(apply.op.idx_list, args[2:])
        return self.assigned(apply, args, tuple(i if isinstance(i, slice) else int(i) for i in at))

    def op_AdvancedIncSubtensor1(self, apply, args):
        return self.assigned(apply, args, constant_index([args[2]]))

    def op_AdvancedIncSubtensor(self, apply, args):
        return self.assigned(apply, args, constant_index(self.advanced_entries(apply, args[2:])))

    def assigned(self, apply, args, at):
        if isinstance(args[0], Known) and not np.isfinite(args[0].value).all():
            args = [Known(np.zeros(args[0].shape)), *args[1:]]  # what AllocEmpty leaves
        return assign(args[0], args[1], at, not apply.op.set_instead_of_inc)


def constant_index(entries) -> tuple:
    if any(isinstance(e, Array) for e in entries):
        raise Unsupported("an index that depends on z")
    if any(isinstance(e, Known) and not e.constant for e in entries):
        raise Unsupported("an assignment at indices that may change (pm.Data)")
    values = [e.value if isinstance(e, Known) else e for e in entries]
    return tuple(v.astype(int) if isinstance(v, np.ndarray) and v.dtype.kind in "ui" else v for v in values)
