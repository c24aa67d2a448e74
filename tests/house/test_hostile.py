"""What could kill, hang or corrupt a process, in a process of its own."""

import math
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import fastvi as vi
from fastvi.kernels.plan import MAX_CHUNKS, cut

from subprocesses import PREAMBLE, succeed

pytestmark = pytest.mark.slow
Q = vi.MeanFieldGaussian(np.full(4, 0.1), np.full(4, 0.7))


def test_concurrent_calls_from_eight_threads():
    """Numba's workqueue aborts the process here when prange is used; our own threads do not care.  The first use is by
    all threads at once: compiling is locked, and every thread gets the same right answer."""
    succeed(
        """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(8) as pool:
            values = set(pool.map(lambda _: vi.elbo(vi.Target(normal, 4), Q, 5000, rng=1).value, range(8)))
        assert values == {vi.elbo(vi.Target(normal, 4), Q, 5000, rng=1).value}
        target = vi.Target(normal, 4)
        def job(seed):
            f = vi.elbo if seed % 2 else vi.elbo_gradient
            r = f(target, Q, 20_000, rng=seed)
            return r.value if seed % 2 else r.gradient.tolist()
        expected = [job(seed) for seed in range(16)]
        with ThreadPoolExecutor(8) as pool:
            for _ in range(3):
                assert list(pool.map(job, range(16))) == expected
    """,
        env={"NUMBA_THREADING_LAYER": "workqueue"},
    )


def test_a_global_rebound_is_seen_by_every_thread():
    """Two threads that find it rebound at once: neither may take the compilation that the other has not replaced."""
    code = """
    import threading

    SCALE = 1.0

    def scaled(z):
        return SCALE * normal(z)

    sys.setswitchinterval(1e-6)
    target, wrong = vi.Target(scaled, 4), 0
    for step in range(1, 9):
        SCALE = 1.0 + step
        expected = vi.elbo(vi.Target(scaled, 4), Q, 1000, estimator="plain", rng=0, num_threads=1)
        SCALE = float(step)
        vi.elbo(target, Q, 1000, estimator="plain", rng=0, num_threads=1)
        SCALE, found = 1.0 + step, []
        threads = [
            threading.Thread(
                target=lambda: found.append(vi.elbo(target, Q, 1000, estimator="plain", rng=0, num_threads=1))
            )
            for _ in range(4)
        ]
        [t.start() for t in threads]
        [t.join() for t in threads]
        wrong += sum(f != expected for f in found) + 4 - len(found)
    print(wrong)
    """
    assert succeed(code) == "0\n"


def test_fork_after_use():
    succeed("""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        target = vi.Target(normal, 4)
        target.seconds_per_draw = None
        before = vi.elbo(target, Q, 300_000, rng=1, num_threads=2).value
        child = os.fork()
        if child == 0:
            same = vi.elbo(target, Q, 300_000, rng=1, num_threads=2).value == before
            os._exit(0 if same else 3)
        for _ in range(200):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            time.sleep(0.1)
        else:
            os.kill(child, 9)
            raise SystemExit("the child hangs")
        assert os.waitstatus_to_exitcode(status) == 0, status
        assert vi.elbo(target, Q, 300_000, rng=1, num_threads=2).value == before
    """)


@pytest.mark.parametrize("call, threads", [("elbo", 1), ("elbo_gradient", 2)])
def test_ctrl_c_is_answered_within_a_second(call, threads):
    """SIGINT one second into a job of minutes: out within a second, the draws so far kept, the next call works."""
    code = PREAMBLE + textwrap.dedent(f"""
        target = vi.Target(normal, 4)
        vi.{call}(target, Q, 1_000_000, rng=0)  # compiles all that the next call needs: Ctrl-C waits for a compiler
        print("ready", flush=True)
        try:
            vi.{call}(target, Q, 20_000_000_000, rng=0, num_threads={threads})
        except KeyboardInterrupt as interrupt:
            print(f"{{time.time()}}", flush=True)
            partial = interrupt.partial
            estimate = getattr(partial, "elbo", partial)
            exact = 4 * (math.log(0.7) + 0.5 + 0.5 * math.log(2 * math.pi)) - 0.5 * 4 * (0.49 + 0.01)
            assert 10_000 < estimate.num_samples < 20_000_000_000, estimate
            assert abs(estimate.value - exact) < 6 * estimate.standard_error + 1e-12, (estimate, exact)
        else:
            raise SystemExit("not interrupted")
        again = vi.{call}(target, Q, 5000, rng=0)
        assert getattr(again, "elbo", again).num_samples == 5000
    """)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "ready"
    time.sleep(1.0)
    sent = time.time()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert float(out.strip()) - sent < 1.0


def test_memory_stays_flat_over_forty_million_draws():
    """4e7 draws at d = 10 under 400 MB, all of the process counted; log w alone would take 320."""
    out = succeed(
        """
        q = vi.MeanFieldGaussian(np.full(10, 0.1), np.full(10, 0.7))
        target = vi.Target(normal, 10)
        estimate = vi.elbo(target, q, 40_000_000, rng=0)
        exact = 10 * (math.log(0.7) + 0.5 + 0.5 * math.log(2 * math.pi)) - 0.5 * 10 * (0.49 + 0.01)
        assert abs(estimate.value - exact) < 5 * estimate.standard_error, (estimate, exact)
        vi.elbo_gradient(target, q, 10_000_000, rng=0)
        with open("/proc/self/status") as lines:  # getrusage would count the parent's peak before exec
            print(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")))
    """,
        timeout=300,
    )
    assert float(out) < 400.0


def test_two_hundred_calls_with_new_data():
    """One compile, and less than 20 MiB of growth."""
    out = succeed("""
        from fastvi.kernels.density import compilations
        def resident():
            with open("/proc/self/statm") as f:
                return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        def linear(z, y, k):
            return -0.5 * np.sum((y - z) ** 2) + k
        rng = np.random.default_rng(0)
        for call in range(200):
            vi.elbo(vi.Target(linear, 4, (rng.normal(size=4), float(call))), Q, 2000, rng=call)
            if call == 5:
                start = resident()
        print(len(compilations._compiled), resident() - start)
    """)
    compiled, growth = out.split()
    assert int(compiled) == 1 and float(growth) < 20.0


def test_large_numbers_of_draws_count_in_64_bits():
    """3e9 draws would overflow 32-bit counters: the plan and the addresses do not."""
    plan = cut("mean_field", 1, (1,), 3_000_000_000, False)
    assert plan.chunk * plan.chunks >= 3_000_000_000 and plan.chunks <= MAX_CHUNKS
    row, wrapped = np.empty((2, 1, 4))
    Q.fill(row, vi.rng.key_from(0), 0, 2**32 + 5)
    Q.fill(wrapped, vi.rng.key_from(0), 0, 5)
    assert not np.array_equal(row, wrapped)


def test_bounds_are_kept_under_numbas_own_check(tmp_path):
    """The kernels themselves, with every index checked; LLVM's optimiser would not change a check."""
    succeed(
        """
        for q in (Q, vi.FullRankGaussian(np.zeros(5), np.eye(5))):
            target = vi.Target(normal, q.dim)
            for n in (1, 33, 97, 1000):
                vi.elbo(target, q, n, estimator="plain", rng=0)
                vi.elbo_gradient(target, q, n, estimator="score", rng=0)
            q.sample(77, rng=0)
    """,
        env={"NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "0", "NUMBA_CACHE_DIR": str(tmp_path)},
        timeout=300,
    )


def test_extreme_scales():
    """Denormal and huge scales give a finite number or a clear error."""
    target = vi.Target(lambda z: -0.5 * np.sum(z * z), 4)
    for scale in (1e-200, 1e-8, 1e150):
        estimate = vi.elbo(target, vi.MeanFieldGaussian(np.zeros(4), np.full(4, scale)), 1000, rng=0)
        assert math.isfinite(estimate.value), (scale, estimate)
    with pytest.raises(vi.NonFiniteError, match=r"\+inf"):
        q = vi.MeanFieldGaussian(np.zeros(4), np.full(4, 1e6))
        vi.elbo(vi.Target(lambda z: np.exp(z[0]), 4), q, 1000, rng=0)


def test_ctrl_c_while_python_looks_at_the_density():
    """The check before the first use takes time too: out at once, with an empty partial result."""
    out = succeed("""
        import _thread, threading
        def slow(z):
            end = time.time() + 30.0
            while time.time() < end:
                pass
            return -0.5 * z[0] * z[0]
        threading.Timer(0.5, _thread.interrupt_main).start()
        start = time.time()
        try:
            vi.elbo(vi.Target(slow, 4), Q, 1000, rng=0)
        except KeyboardInterrupt as interrupt:
            print(interrupt.partial.num_samples, math.isnan(interrupt.partial.value), time.time() - start < 10.0)
    """)
    assert out.split() == ["0", "True", "True"]


def test_an_interrupt_that_is_no_signal_is_answered():
    """``_thread.interrupt_main``, which notebooks and debuggers use, does not wake a thread that waits."""
    succeed(
        """
        import _thread, signal, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)
        target = vi.Target(normal, 4)
        vi.elbo(target, Q, 5_000_000, rng=0, estimator="plain")
        threading.Timer(1.0, _thread.interrupt_main).start()
        try:
            vi.elbo(target, Q, 10**10, rng=0, estimator="plain")
        except KeyboardInterrupt as interrupt:
            assert 0 < interrupt.partial.num_samples < 10**10
        else:
            raise AssertionError("not interrupted")
        """
    )


def test_ctrl_c_waits_while_a_density_compiles():
    """Numba's registries must not be left half filled: afterwards everything still compiles."""
    succeed(
        """
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from fastvi.kernels.density import compilations, values
        within = values.compile_density
        seen = []
        def interrupted(*arguments):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            found = within(*arguments)
            seen.append(found)
            return found
        values.compile_density = interrupted
        target = vi.Target(normal, 4)
        try:
            target.value(np.zeros(4))
        except KeyboardInterrupt:
            assert len(seen) == 1, "compiled to the end first"
        else:
            raise AssertionError("not interrupted")
        values.compile_density = within
        assert target.value(np.zeros(4)) == 0.0 and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        """
    )
