"""Memory of large arrays: used again when nobody holds it, never before."""

import subprocess
import sys
import threading

import numpy as np

import fastvi as vi
from fastvi import kept_memory


def address(array):
    return array.__array_interface__["data"][0]


def test_a_block_comes_back_when_its_last_view_is_gone():
    kept_memory.forget()
    first = kept_memory.empty((1000, 300))
    view, place = first[5:9].T, address(first)
    del first
    other = kept_memory.empty((1000, 300))
    assert address(other) != place
    del view
    assert address(kept_memory.empty((290, 1000))) == place
    assert kept_memory.empty((3, 4)).flags.owndata  # a small one is an array of its own


def test_no_more_is_kept_than_that():
    kept_memory.forget()
    several = [kept_memory.empty((kept_memory.MOST // 24,)) for _ in range(5)]
    del several
    assert 0 < sum(block.nbytes for block in (*kept_memory.blocks, *kept_memory.given_back)) <= kept_memory.MOST
    kept_memory.forget()


def test_results_are_the_callers_own_on_many_threads():
    def log_density(z):
        return -0.5 * np.sum(z * z)

    target, wrong = vi.Target(log_density, dim=100), []
    points = np.random.default_rng(0).normal(size=(2000, 100))
    target.value_and_grad(points)

    def work(shift):
        before = target.value_and_grad(points + shift, num_threads=1)[1]
        for _ in range(10):
            after = target.value_and_grad(points + shift, num_threads=1)[1]
            if not np.array_equal(before, after) or not np.array_equal(after, -(points + shift)):
                wrong.append(shift)
            before = after

    threads = [threading.Thread(target=work, args=(float(k),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_array_that_is_held_to_the_end_ends_in_silence():
    code = "import fastvi.kept_memory as k, numpy as np; np.held = k.empty((1000, 300)); a = k.empty((1000, 300))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
