"""Sweeps on other processes: the bits of a local run, whatever is lost on the way."""

import concurrent.futures
import math
import multiprocessing
import os
import pickle
import signal
import time

import numpy as np
import pytest

import fastvi as vi
from fastvi.execution import centred, shipping

from subprocesses import succeed

pytestmark = pytest.mark.slow

X = np.random.default_rng(0).standard_normal((150, 3))
Y = (X[:, 0] > 0).astype(float)
Q = vi.MeanFieldGaussian(np.array([0.9, 0.0, 0.1]), np.full(3, 0.2))
FULL = vi.FullRankGaussian(Q.loc, np.diag(Q.scale) + np.tril(np.full((3, 3), 0.02), -1))

LOW = vi.LowRankGaussian(Q.loc, Q.scale, np.full((3, 1), 0.1))


def logistic(beta, X, y):
    eta = X @ beta
    return np.sum(y * eta - np.logaddexp(0.0, eta)) - 0.5 * np.dot(beta, beta)


TARGET = vi.Target(logistic, 3, (X, Y))


class Done:
    """A future of the least kind."""

    def __init__(self, result):
        self.result = result


class Least:
    """An executor of the least kind: at once, through pickle; it keeps what was sent and may break."""

    def __init__(self, breaks_at=math.inf):
        self.sent, self.breaks_at, self.results = [], breaks_at, 0

    def submit(self, function, *arguments):
        self.sent.append(pickle.dumps((function, arguments)))
        function, arguments = pickle.loads(self.sent[-1])

        def result():
            self.results += 1
            if self.results > self.breaks_at:
                raise concurrent.futures.BrokenExecutor("a worker is gone")
            return pickle.loads(pickle.dumps(function(*arguments)))

        return Done(result)


@pytest.fixture(scope="module")
def spawned():
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def same_gradient(a, b):
    assert a.elbo == b.elbo and a.method == b.method
    assert np.array_equal(a.gradient, b.gradient) and np.array_equal(a.standard_error, b.standard_error)


@pytest.mark.parametrize("estimator", ["plain", "entropy", "quadratic", "auto"])
def test_spawned_processes_give_the_bits_of_a_local_run(spawned, estimator):
    for q in (Q, LOW, FULL):
        options = dict(estimator=estimator, rng=1)
        expected = vi.elbo(TARGET, q, 50_001, **options)  # first: the workers find its kernels on disk
        assert vi.elbo(TARGET, q, 50_001, **options, executor=spawned) == expected


@pytest.mark.parametrize(
    "estimator", ["score", "leave_one_out", "optimal_baseline", "cubic", "pathwise", "sticking_the_landing"]
)
def test_gradients_too(spawned, estimator):
    for q in (Q, LOW, FULL):
        local, there = (
            vi.elbo_gradient(TARGET, q, 20_000, estimator=estimator, rng=2, executor=e) for e in (None, spawned)
        )
        same_gradient(local, there)


def test_divergences_and_a_wanted_error_too(spawned):
    p = vi.GaussianMixture([0.3, 0.7], [[0, 0, 0], [1, 0, 0]], np.ones((2, 3)))
    expected = vi.kl_divergence(Q, p, 20_000, rng=1)
    assert vi.kl_divergence(Q, p, 20_000, rng=1, executor=spawned) == expected
    options = dict(atol=2e-3, estimator="plain", rng=3)
    assert vi.elbo(TARGET, Q, 1000, **options, executor=spawned) == vi.elbo(TARGET, Q, 1000, **options)


def test_any_object_with_submit_will_do():
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        found = [vi.elbo(TARGET, Q, 30_000, rng=1, executor=e) for e in (None, Least(), threads)]
    assert found[0] == found[1] == found[2]


def test_progress_counts_chunks():
    seen, executor = [], Least()
    vi.elbo(TARGET, Q, 30_000, estimator="plain", rng=1, executor=executor, progress=lambda *a: seen.append(a))
    assert len(seen) == len(executor.sent) > 8
    assert seen == sorted(seen) and seen[-1] == (30_000, 30_000)


def test_a_broken_executor_keeps_what_is_finished():
    options = dict(estimator="plain", rng=1)
    expected = vi.elbo(TARGET, Q, 30_000, **options)
    with pytest.raises(vi.ExecutorError, match="executor: 5 of .* chunks are finished, then BrokenExecutor") as caught:
        vi.elbo(TARGET, Q, 30_000, **options, executor=Least(breaks_at=5))
    first, partial = caught.value, caught.value.partial
    assert 0 < partial.num_samples < 30_000 and abs(partial.value - expected.value) < 5 * partial.standard_error
    with pytest.raises(vi.ExecutorError, match="executor: 12 of") as caught:
        vi.elbo(TARGET, Q, 30_000, **options, executor=first.resume(Least(breaks_at=7)))
    rest = Least()
    assert vi.elbo(TARGET, Q, 30_000, **options, executor=caught.value.resume(rest)) == expected
    rest_of = Least()
    assert vi.elbo(TARGET, Q, 30_000, **options, executor=rest_of) == expected
    assert len(rest.sent) == len(rest_of.sent) - 12
    with pytest.raises(ValueError, match="executor: none of the finished chunks is of this call"):
        vi.elbo(TARGET, Q, 30_000, estimator="plain", rng=2, executor=caught.value.resume(Least()))
    with pytest.raises(TypeError, match="executor: expected another executor to resume with, got None"):
        caught.value.resume(None)


def test_scores_that_have_a_pass_of_their_own_are_those_of_what_is_finished(monkeypatch):
    dim = 32
    target = vi.Target(lambda z: -0.5 * np.dot(z, z) - 0.1 * np.exp(z[0]), dim)
    q, options = vi.FullRankGaussian(np.zeros(dim), 0.9 * np.eye(dim)), dict(estimator="leave_one_out", rng=1)
    expected = vi.elbo_gradient(target, q, 30_000, **options)
    with pytest.raises(vi.ExecutorError, match="executor: 5 of") as caught:
        vi.elbo_gradient(target, q, 30_000, **options, executor=Least(breaks_at=5))
    partial = caught.value.partial
    n = partial.elbo.num_samples
    same = vi.elbo_gradient(target, q, n, **options)
    assert 1000 < n < 30_000
    np.testing.assert_allclose(partial.gradient, same.gradient, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(partial.standard_error, same.standard_error, rtol=1e-9)
    resumed = vi.elbo_gradient(target, q, 30_000, **options, executor=caught.value.resume(Least()))
    same_gradient(resumed, expected)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(centred, "sums", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        vi.elbo_gradient(target, q, 30_000, **options)
    partial = stopped.value.partial
    assert partial.elbo.value == expected.elbo.value and np.isnan(partial.gradient).all()
    with pytest.raises(vi.ExecutorError) as caught:  # in the pass over what is finished: it can be resumed all the same
        vi.elbo_gradient(target, q, 30_000, **options, executor=Least(breaks_at=5))
    assert caught.value.partial.elbo.num_samples == n and np.isnan(caught.value.partial.gradient).all()


def test_the_key_of_a_broken_run_repeats_it():
    with pytest.raises(vi.ExecutorError) as caught:
        vi.elbo(TARGET, Q, 30_000, executor=Least(breaks_at=5))
    rest = Least()
    found = vi.elbo(TARGET, Q, 30_000, rng=caught.value.key, executor=caught.value.resume(rest))
    assert found == vi.elbo(TARGET, Q, 30_000, rng=caught.value.key) and found.key == caught.value.key


def test_what_is_finished_behind_a_broken_chunk_counts():
    """Futures that are done are taken, wherever they stand; so are they when the executor takes no more."""

    class First(concurrent.futures.ThreadPoolExecutor):
        sent = 0

        def submit(self, function, *arguments):
            self.sent += 1
            if self.sent > 20:
                concurrent.futures.wait(self.futures)
                raise OSError("gone")
            broken = self.sent == 1

            def call():
                if broken:
                    raise concurrent.futures.BrokenExecutor("lost")
                return function(*arguments)

            self.futures = [*getattr(self, "futures", []), super().submit(call)]
            return self.futures[-1]

    options = dict(estimator="plain", rng=1)
    with First(2) as threads, pytest.raises(vi.ExecutorError, match="19 of .* OSError: gone") as caught:
        vi.elbo(TARGET, Q, 30_000, **options, executor=threads)
    assert len(caught.value.finished) == 19 and caught.value.partial.num_samples > 0
    assert vi.elbo(TARGET, Q, 30_000, **options, executor=caught.value.resume(Least())) == vi.elbo(
        TARGET, Q, 30_000, **options
    )


@pytest.mark.parametrize("answer", [None, "junk"])
def test_what_is_no_chunk_breaks_the_executor(answer):
    class Odd:
        def submit(self, function, *arguments):
            return Done(lambda: answer)

    with pytest.raises(vi.ExecutorError, match="a future gave"):
        vi.elbo(TARGET, Q, 1000, rng=0, executor=Odd())


MODULE = """
import numpy as np
SCALE = 1.0
def density(z):
    return -0.5 * SCALE * np.sum(z * z)
"""


def test_a_module_that_means_something_else_there_is_told(tmp_path, monkeypatch):
    """A worker imports a module anew: what was set here since would be missing there."""
    (tmp_path / "of_a_user.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import of_a_user

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    target = vi.Target(of_a_user.density, 3)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        expected = vi.elbo(target, Q, 5000, rng=1)
        assert vi.elbo(target, Q, 5000, rng=1, executor=pool) == expected
        of_a_user.SCALE = 4.0
        assert vi.elbo(target, Q, 5000, rng=1) != expected
        with pytest.raises(
            RuntimeError, match="target: density differs between a worker of the executor and this process"
        ):
            vi.elbo(target, Q, 5000, rng=1, executor=pool)


def made(n):
    return vi.Target(logistic, 3, (X[:n], Y[:n]))


def test_data_that_changed_after_a_factory_are_told(spawned):
    target = vi.Target.from_factory(made, 100)
    assert vi.elbo(target, Q, 5000, rng=1, executor=spawned) == vi.elbo(made(100), Q, 5000, rng=1)
    target.data[1].flags.writeable = True
    target.data[1][0] = 1.0 - target.data[1][0]
    try:
        with pytest.raises(RuntimeError, match="or the data it was made with, has changed"):
            vi.elbo(target, Q, 5000, rng=1, executor=spawned)
    finally:
        target.data[1][0] = 1.0 - target.data[1][0]


def test_killed_processes_break_the_pool_and_not_the_run():
    """Of a fork server, as all the others here are spawned.  Both are killed: one that dies while it holds the lock of
    the pool's queue would leave the other waiting for it, and Python 3.11 waiting for that one."""
    options = dict(estimator="leave_one_out", rng=1)
    n = 6_000_000

    def pool():
        return concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver"))

    with pool() as first:
        killed = []

        def kill(done, total):
            if done < total and not killed:
                killed.extend(first._processes)
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)

        with pytest.raises(vi.ExecutorError, match="BrokenProcessPool") as caught:
            vi.elbo_gradient(TARGET, Q, n, **options, executor=first, progress=kill)
    assert killed and 0 < caught.value.partial.elbo.num_samples < n
    with pool() as second:
        found = vi.elbo_gradient(TARGET, Q, n, **options, executor=caught.value.resume(second))
    same_gradient(found, vi.elbo_gradient(TARGET, Q, n, **options))


DASK_RUN = """
    import signal, threading
    import distributed

    def made(tau, X):
        def logistic(beta, X, y):
            eta = X @ beta
            return np.sum(y * eta - np.logaddexp(0.0, eta)) + tau * normal(beta)

        return vi.Target(logistic, 10, (X, (X[:, 0] > 0).astype(float)))

    if __name__ == "__main__":
        target = made(1.5, np.random.default_rng(0).standard_normal((200, 10)))
        q = vi.MeanFieldGaussian(np.zeros(10), np.full(10, 0.05))
        options = dict(estimator="plain", rng=1)
        expected = vi.elbo(target, q, 400_000, **options)
        quiet = dict(dashboard_address=None, silence_logs=50)
        with distributed.LocalCluster(2, threads_per_worker=1, processes=True, **quiet) as cluster:
            with distributed.Client(cluster) as client:
                pids, seen = list(client.run(os.getpid).values()), []

                def progress(done, total):
                    seen.append(done)
                    if len(seen) == 10:
                        os.kill(pids[0], signal.SIGKILL)

                executor = client.get_executor(pure=False)
                found = vi.elbo(target, q, 400_000, **options, executor=executor, progress=progress)
                alive = client.run(os.getpid, on_error="return").values()  # a worker on its way out resets connections
                print(found == expected, len(seen) > 50, seen[-1] == 400_000, pids[0] in alive)
    """


def test_dask_loses_a_worker_and_no_draw():
    """And a closure of a script travels to processes that do not have that ``__main__``."""
    last = succeed(DASK_RUN, timeout=300, env={"PYTHONWARNINGS": "ignore"}).splitlines()[-1]
    assert last == "True True True False"


class Counted:
    """Counts, in a file, how often a target is made."""

    def __init__(self, path):
        self.path = path

    def __call__(self):
        with open(self.path, "a") as file:
            file.write("made\n")
        return vi.Target(logistic, 3, (X, Y))


def test_a_target_is_made_once_in_each_process(tmp_path):
    make = Counted(str(tmp_path / "made"))
    target = vi.Target.from_factory(make)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for seed in range(3):
            expected = vi.elbo(TARGET, Q, 100_000, rng=seed)
            assert vi.elbo(target, Q, 100_000, rng=seed, executor=pool) == expected
    with open(make.path) as file:
        assert 2 <= len(file.readlines()) <= 3  # here, and in the processes


def test_data_travel_once(monkeypatch):
    """A large target lies in a file while it is wanted; who cannot read that gets it with the chunk."""
    rng = np.random.default_rng(1)
    large = vi.Target(logistic, 3, (rng.standard_normal((5000, 3)), np.ones(5000)))
    expected, executor = vi.elbo(large, Q, 5000, rng=1), Least()
    paths = []
    send = shipping.Sent.parcel

    def elsewhere(self, whole):
        parcel = send(self, whole)
        paths.append(parcel.path)
        return (parcel if whole else parcel._replace(path="/nowhere"))._replace(process=0)

    assert vi.elbo(large, Q, 5000, rng=1, executor=executor) == expected
    assert max(map(len, executor.sent)) < 5000
    monkeypatch.setattr(shipping.Sent, "parcel", elsewhere)
    again = Least()
    assert vi.elbo(large, Q, 5000, rng=1, executor=again) == expected
    whole = [size for size in map(len, again.sent) if size > 100_000]
    assert 1 <= len(whole) <= 2 < len(again.sent)
    assert not any(path and os.path.exists(path) for path in paths)


def test_what_the_density_does_wrong_is_told_here(spawned):
    def raises(z):
        if z[0] > 2.0:
            raise ArithmeticError("too far")
        return -0.5 * z[0] ** 2

    q = vi.MeanFieldGaussian([0.0], [1.0])
    with pytest.raises(ArithmeticError, match="too far"):
        vi.elbo(vi.Target(raises, 1), q, 20_000, estimator="plain", rng=0, executor=spawned)
    stopped = Least()
    with pytest.raises(ArithmeticError, match="too far"):
        vi.elbo(vi.Target(raises, 1), q, 20_000, estimator="plain", rng=0, executor=stopped)
    assert stopped.results < len(stopped.sent)
    with pytest.raises(vi.NonFiniteError, match="nan at draw"):
        nan = vi.Target(lambda z: math.nan if z[0] > 2.0 else -0.5 * z[0] ** 2, 1)
        vi.elbo(nan, q, 20_000, estimator="plain", rng=0, executor=spawned)


def test_errors_of_workers_surface():
    class Elsewhere(Least):
        def submit(self, function, version, *arguments):
            return super().submit(function, "0.0.0", *arguments)

    with pytest.raises(RuntimeError, match="a worker of the executor has fastvi .*, the caller 0.0.0"):
        vi.elbo(TARGET, Q, 1000, rng=0, executor=Elsewhere())


def test_what_cannot_be_is_refused():
    with pytest.raises(TypeError, match=r"executor: expected something with submit\(function, \*arguments\)"):
        vi.elbo(TARGET, Q, 100, executor=4)
    with pytest.raises(ValueError, match="executor: takes draws='iid', got draws='sobol'"):
        vi.elbo(TARGET, Q, 100, draws="sobol", executor=Least())
    with pytest.raises(ValueError, match="executor: its workers compute on backend='cpu'"):
        vi.elbo_gradient(TARGET, Q, 100, backend="cuda", executor=Least())
    address = vi.Target.from_address(12345, 3, name="of C")
    with pytest.raises(TypeError, match=r"target: of C cannot travel .* Target.from_factory\(make, ...\)"):
        vi.elbo(address, Q, 100, estimator="plain", executor=Least())
    with pytest.raises(TypeError, match="make: expected a function that returns a Target"):
        vi.Target.from_factory(lambda: 3)


def test_ctrl_c_stops_the_run():
    def interrupt(done, total):
        raise KeyboardInterrupt

    class Slow(Least):
        def submit(self, function, *arguments):
            time.sleep(0.001)
            return super().submit(function, *arguments)

    with pytest.raises(KeyboardInterrupt) as caught:
        vi.elbo(TARGET, Q, 30_000, estimator="plain", rng=1, executor=Slow(), progress=interrupt)
    assert 0 < caught.value.partial.num_samples < 30_000


def skewed(z):
    return -0.5 * z[0] ** 2 - 0.5 * z[1] ** 2 - 0.1 * math.exp(0.5 * z[0]) + 0.2 * z[0] * z[1]


def test_fits_and_diagnoses_have_the_bits_of_a_local_run():
    """Log weights and values at given points travel too."""
    target, q = vi.Target(skewed, 2), vi.MeanFieldGaussian([0.1, -0.2], [0.9, 1.1])
    other = vi.FullRankGaussian([0.0, 0.0], [[1.0, 0.0], [0.2, 0.9]])
    calls = [
        lambda **on: vi.diagnose(target, q, 5000, rng=1, **on).bounds.iwae[100],
        lambda **on: vi.bounds(target, q, 5000, rng=1, **on).cubo,
        lambda **on: vi.compare(target, q, other, 5000, rng=1, **on),
        lambda **on: vi.divergence(q, target, "hellinger", 5000, rng=1, **on),
        lambda **on: vi.fit(target, "mean_field", method="newton", max_rounds=3, rng=1, **on).elbo,
        lambda **on: vi.fit(target, "mean_field", method="lbfgs", max_rounds=2, rng=1, **on).elbo,
    ]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for call in calls:
            assert call(executor=pool) == call()


def test_a_broken_executor_of_a_fit_is_named():
    class Broken:
        def submit(self, function, *arguments):
            raise RuntimeError("gone")

    with pytest.raises(vi.ExecutorError, match="executor: RuntimeError: gone"):
        vi.fit(vi.Target(skewed, 2), "mean_field", rng=1, executor=Broken())
