"""Matrix products of lanes, in kernels that come from the disk cache: those run copies of their own of what they call.

Such a copy was once compiled wrongly, where the process that compiled it had a right one: the gradient of ``X @ z`` of
one to three columns, of one draw and on Zen 3 to 5 of eight, lost its first entry in the second process.
"""

import os
import subprocess
import sys

import pytest

from fastvi.kernels.jit import host_cpu

CHECK = """
import ctypes
import itertools
import numpy as np
from fastvi.kernels.lanes import matrix, tape

WORDS = ctypes.c_int64
rng = np.random.default_rng(0)
for width in (1, 8, 32):
    back = ctypes.CFUNCTYPE(None, WORDS)(tape.way_back(width).address)
    products = [ctypes.CFUNCTYPE(None, *[WORDS] * 8)(f(width).address) for f in (matrix.times, matrix.rows_times)]
    for columns, rows, order in itertools.product((1, 2, 3, 4, 5, 7, 9), (1, 2, 3, 4, 5, 17, 64, 65, 130), "CF"):
        x = np.array(rng.normal(size=(rows, columns)), order=order)
        y, z = rng.normal(size=(rows, width)), rng.normal(size=(columns, width + 3))
        for product in products:
            found = np.full((rows, width), np.nan)
            product(x.ctypes.data, *x.strides, rows, columns, z.ctypes.data, z.strides[0], found.ctypes.data)
            np.testing.assert_allclose(found, x @ z[:, :width], rtol=0, atol=1e-12)
        for kind in (tape.PRODUCT, tape.ROWS):
            found, record, words = z.copy(), np.zeros(2 * tape.PRODUCT_WORDS, np.int64), np.zeros(8, np.int64)
            where = y.ctypes.data, rows, x.ctypes.data, *x.strides, columns, found.ctypes.data, found.strides[0]
            record[: tape.PRODUCT_WORDS], record[tape.PRODUCT_WORDS] = (kind, *where), tape.STOP
            words[tape.WORDS] = record.ctypes.data
            back(words.ctypes.data)
            z_and_more = z.copy()
            z_and_more[:, :width] += x.T @ y
            np.testing.assert_allclose(found, z_and_more, rtol=0, atol=1e-12)
"""


@pytest.mark.slow
def test_products_and_their_way_back(tmp_path):
    runs = [{}, {}]  # compiled, then read
    if "avx512f" in host_cpu()[1]:
        runs.append({"NUMBA_CPU_NAME": "znver4"})
    for more in runs:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)} | more
        done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
