"""The disk cache: used by the next process, never stale, never in the way."""

import concurrent.futures
import pathlib
import shutil

import pytest

from subprocesses import run, succeed

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
# two kernels without LLVM's optimiser: the cache does not know the difference
FIRST_USE = """
    from fastvi.kernels.cpu import merging, values
    print(Q.sample(9, rng=0).sum())
    for kernel in (values.sweep("float64"), merging.merger().compiled):
        print(sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))
"""
FOUND, COMPILED = ["1", "0"] * 2, ["0", "1"] * 2


def at(place, **env):
    """Options that make a process import the packages in a place."""
    return dict(cwd=place, env={"PYTHONPATH": str(place), "NUMBA_CACHE_DIR": "", "NUMBA_OPT": "0", **env}, timeout=300)


def copied(place):
    ignore = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    for folder in ("fastvi", "kernels"):
        shutil.copytree(ROOT / folder, place / folder, ignore=ignore)
    return place


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """The packages alone, used by two cold processes at once, and what these printed."""
    place = copied(tmp_path_factory.mktemp("packages"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return place, list(pool.map(lambda _: succeed(FIRST_USE, **at(place)), range(2)))


@pytest.fixture
def copy(used, tmp_path):
    """A copy that may be edited and broken, with all that has been compiled, and the value that it gives."""
    shutil.copytree(used[0], tmp_path / "copy")
    return tmp_path / "copy", used[1][0].split()[0]


def test_two_cold_processes_at_once_and_the_next_finds_the_kernels(used):
    place, outputs = used
    value, *counts = succeed(FIRST_USE, **at(place)).split()
    assert {out.split()[0] for out in outputs} == {value} and counts == FOUND
    assert "0" in outputs[0].split()[1::2] + outputs[1].split()[1::2]


def test_the_next_process_finds_what_estimates_need():
    code = """
    from fastvi.kernels.cpu import merging, values
    from fastvi.kernels.cpu import sweep as cpu
    target = vi.Target(normal, 4)
    for estimator in ("score", "pathwise"):
        vi.elbo_gradient(target, Q, 1000, estimator=estimator, rng=0)
    vi.elbo(target, Q, 1000, estimator="plain", rng=0)
    sweeps = values.sweep("float64"), cpu.score_sweep("mean_field", "float64")
    mergers = merging.merger().compiled, merging.score_merger().compiled
    for kernel in (*sweeps, cpu.path_sweep("mean_field", "float64"), *mergers):
        print(sum(kernel.stats.cache_misses.values()))
    """
    succeed(code, timeout=300)
    assert succeed(code).split() == ["0"] * 5


def test_an_edit_in_another_file_is_seen(copy):
    """Numba's own cache knows one file; ours knows them all."""
    place, before = copy
    philox = place / "kernels" / "random" / "philox.py"
    text = philox.read_text()
    philox.write_text(text.replace("0xD2511F53", "0xD2511F55"))
    after, *counts = succeed(FIRST_USE, **at(place)).split()
    assert after != before and counts == COMPILED
    philox.write_text(text)
    assert succeed(FIRST_USE, **at(place)).split() == [before, *FOUND]


def test_a_damaged_cache_is_replaced_with_a_warning(copy):
    """An index of garbage for one half of the kernels, empty code for the other."""
    place, good = copy
    for number, index in enumerate(sorted(place.rglob("*.nbi"))):
        damaged = [index] if number % 2 else index.parent.glob(f"{index.stem}.*.nbc")
        for file in damaged:
            file.write_bytes(b"garbage" if number % 2 else b"")
    assert number == 2
    done = run(FIRST_USE, **at(place))
    assert done.returncode == 0 and done.stdout.split()[0] == good, done.stderr
    assert "could not read a compiled kernel" in done.stderr
    again = run(FIRST_USE, **at(place))
    assert again.stdout.split() == [good, *FOUND] and again.stderr == ""


def test_a_read_only_install_without_a_home(used, tmp_path):
    """No place for a cache is no error.  Root may write anywhere, so the places are made impossible instead."""
    place, blocked = copied(tmp_path / "read-only"), tmp_path / "file"
    blocked.write_text("")
    (place / "kernels" / "__pycache__").write_text("not a folder")
    options = at(place, HOME=str(blocked), XDG_CACHE_HOME=str(blocked), PYTHONDONTWRITEBYTECODE="1")
    out = succeed(FIRST_USE + "    print(vi.kernels.jit.cache_folder())", **options).split()
    assert out[0] == used[1][0].split()[0] and out[-1] == "None"
