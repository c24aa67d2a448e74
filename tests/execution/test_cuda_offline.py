"""The CUDA kernels without a GPU: that they compile and link, what is in their code, what users read."""

import functools
import math
import re

import numpy as np
import pytest
from numba import cuda, njit, types

import fastvi as vi
from fastvi.kernels.density.abi import data_types
from fastvi.kernels.density.error_messages import DensityError
from fastvi.kernels.gpu import cuda as kernels
from fastvi.kernels.gpu import device

from cuda_models import MODELS, X, Y, logistic, normal, normals_kernel, scale_shape, scores_kernel

pytestmark = pytest.mark.ptx
FAMILIES = ("mean_field", "low_rank", "full_rank", "product")


def weights(function, dim, data, family="mean_field", capability=(9, 0), keep=True, surrogate=False, make=None):
    """A kernel of log w, compiled to PTX or by ``make(kernel, signature)``."""
    import ptx

    target = vi.Target(function, dim, data)
    kinds, inputs = data_types(target.data), target.density.inputs

    def build(call):
        shape = scale_shape(family, target.dim)
        kernel, signature = kernels.weights(family, target.dim, shape, call, kinds, keep, surrogate)
        return (make or (lambda f, s: ptx.compiled(f, s, capability)))(kernel, signature)

    with ptx.pretend(capability):
        return device.compile_for_density(function, kinds, target.dim, build, inputs)


@functools.cache
def scores(family):
    """The PTX of the score sums."""
    import ptx

    return ptx.compiled(*scores_kernel(family, 5)[:2])


@functools.cache
def fold():
    import ptx

    return ptx.compiled(*kernels.fold())


@pytest.mark.parametrize("name", MODELS)
def test_every_density_links(name):
    """By the way of a launch, which finds what PTX hides, such as a missing function."""
    import ptx

    assert len(weights(*MODELS[name], make=ptx.linked)) > 1000


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dim", [1, 300])
def test_every_kernel_links(dim, family):
    """Above all, without too much shared memory."""
    import ptx

    data = (np.zeros(dim),)
    for surrogate in (False, True):
        assert len(weights(normal, dim, data, family, surrogate=surrogate, make=ptx.linked)) > 1000
    assert len(ptx.linked(*scores_kernel(family, dim)[:2])) > 1000


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (12, 0)])
def test_other_devices(capability):
    import ptx

    assert f".target sm_{capability[0]}{capability[1]}" in weights(logistic, 4, (X, Y), capability=capability)
    for family in FAMILIES:
        ptx.compiled(*scores_kernel(family, 5)[:2], capability)


def test_the_largest_dimension_fits_in_a_block():
    import ptx

    for family in FAMILIES:
        assert len(ptx.linked(*scores_kernel(family, kernels.MAX_DIM)[:2])) > 1000
    assert len(ptx.linked(*kernels.fold())) > 1000


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_nothing_in_the_draws_is_rounded_otherwise(dtype):
    """No product that a device may fuse with a sum, no approximate operation: so no device changes a bit."""
    import ptx

    text = ptx.compiled(*normals_kernel(dtype))
    assert "fma.rn" in text and ptx.contractible(text) == []
    assert not re.search(r"approx|\.ftz|lg2|ex2", text)


def test_the_lint_sees_what_it_looks_for():
    import ptx

    def fused(out, x):
        out[0] = x * x + 1.0

    def apart(out, x):
        out[0] = cuda.libdevice.dmul_rn(x, x) + 1.0

    signature = types.void(types.float64[::1], types.float64)
    assert ptx.contractible(ptx.compiled(apart, signature)) and "fma.rn.f64" in ptx.compiled(fused, signature)


def test_no_fast_math_anywhere():
    """A reduction's freedom to reorder sums on the CPU would be all of fast math on CUDA, and a NaN would be lost."""
    for family in FAMILIES:
        text = weights(normal, 5, (np.zeros(5),), family)
        assert ".target sm_90" in text and ".visible .entry" in text
        for found in (scores(family), text):
            assert not re.search(r"approx|\.ftz", found)


def test_no_atomics_and_no_unknown_memory():
    for text in (*map(scores, FAMILIES), fold()):
        assert not re.search(r"\b(atom|red)\.", text)


# ---- planted errors
def test_a_planted_typing_error_is_caught():
    import ptx

    def broken(out, x):
        out[0] = x.no_such_thing

    with pytest.raises(Exception, match="no_such_thing"):
        ptx.compiled(broken, types.void(types.float64[::1], types.float64))


def test_a_planted_index_error_is_caught():
    from interpreter import Kernel
    from ptx import compiled

    def beyond(out):
        i = cuda.grid(1)
        out[i + 1] = 1.0

    kernel, out = Kernel(compiled(beyond, types.void(types.float64[::1]))), np.zeros(4)
    kernel.launch((1, 1), 3, out)
    assert out.tolist() == [0.0, 1.0, 1.0, 1.0]
    with pytest.raises(IndexError):
        kernel.launch((1, 1), 4, out)


def test_a_planted_barrier_in_a_branch_is_caught():
    from interpreter import Kernel
    from ptx import compiled

    def divided(out):
        i = cuda.grid(1)
        if i < 2:
            out[i] = 1.0
            cuda.syncthreads()
            out[i + 2] = out[i]

    with pytest.raises(AssertionError, match="barrier"):
        Kernel(compiled(divided, types.void(types.float64[::1]))).launch((1, 1), 4, np.zeros(4))


# ---- what users read
def new_array(z):
    return -0.5 * np.sum(np.zeros(3) + z[0])


def of_data_alone(z, x):
    return -np.sum(np.sqrt(x)) * z[0] ** 2


def comprehension(z):
    return -sum([v * v for v in z])


def solved(z, a):
    return -0.5 * np.sum(np.linalg.solve(a, np.ones(2))) - z[0] ** 2


def item_by_item(z):
    total = np.empty(2)
    total[0] = z[0] ** 2
    return -total[0]


def formatted(z):
    if z[0] > 1.0:
        raise ValueError(f"bad {z[0]}")
    return -z[0]


def copied(z):
    return -np.sum(z.copy())


def joined(z):
    return -np.sum(np.concatenate((z, z)))


REFUSED = {
    "formatted": (formatted, ()),
    "copied": (copied, ()),
    "joined": (joined, ()),
    "new_array": (new_array, ()),
    "of_data_alone": (of_data_alone, (np.ones(3),)),
    "comprehension": (comprehension, ()),
    "solved": (solved, (np.eye(2),)),
    "item_by_item": (item_by_item, ()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_line_with_a_way_out(name):
    function, data = REFUSED[name]
    with pytest.raises(DensityError) as error:
        weights(function, 2, data)
    message = str(error.value)
    assert message.startswith("log_density: ") and "\n" not in message and len(message) < 300
    assert "sum in a loop, or pass the array as data [" in message, message
    assert "<class" not in message and "Untyped" not in message
    line = int(re.search(r"test_cuda_offline\.py:(\d+)\]", message).group(1))
    assert 0 <= line - function.__code__.co_firstlineno <= 2


def test_numpy_on_numbers_works():
    """What Numba's CUDA refuses: NumPy's functions of one number, products of matrices, array expressions."""

    def much(z, x):
        y = np.exp(z[0]) + np.sqrt(abs(z[1])) + np.log1p(z[0] ** 2) + np.logaddexp(z[0], 1.0) + np.clip(z[1], -1.0, 1.0)
        return y + np.sum((x @ z) ** 2) + (z @ z) + np.mean(np.where(z > 0.0, z, -z)) + np.power(z[1], 2) + np.max(z)

    assert ".entry" in weights(much, 4, (X,))


def test_helpers_are_compiled_too():
    def square(v):
        return v * v

    jitted = njit(square)

    def helped(z):
        return -square(z[0]) - jitted(z[1]) - math.exp(square(z[1]))

    assert ".entry" in weights(helped, 2, ())


def guarded(z):
    try:
        return -1.0 / z[0]
    except ZeroDivisionError:
        return 0.0


def mixed(z):
    return -np.floor(z[0]) - (z[1] % 1.0)


def outer(z):
    return -np.sum(np.outer(z, z))


def by_default(z, power=2.0):
    return -(abs(z[0]) ** power)


@pytest.mark.parametrize(
    "function, expected",
    [
        (guarded, "`try` is not available on a GPU"),
        (mixed, "mod(<draws>, float64) is not available on a GPU"),
        (mixed, "np.floor of a number is not available here on a GPU; math.floor may be"),
        (outer, "not available on a GPU"),
        (by_default, "a default argument has no meaning in a density"),
    ],
)
def test_refusals_name_what_was_refused(function, expected):
    with pytest.raises(DensityError) as error:
        weights(function, 2, ())
    message = str(error.value)
    assert expected in message and "\n" not in message and "<class" not in message and "Untyped" not in message
    line = int(re.search(r"test_cuda_offline\.py:(\d+)\]", message).group(1))
    assert 0 <= line - function.__code__.co_firstlineno <= 3
