"""The disk cache: used by the next process, never stale, never in the way."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from subprocesses import run, succeed

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
FIRST_USE = """
    print(vi.elbo(vi.Target(normal, 4), Q, 1000, rng=0).value)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The packages alone, in a place where they may be edited and broken."""
    place = tmp_path_factory.mktemp("copy")
    ignore = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    for folder in ("fastvi", "kernels"):
        shutil.copytree(ROOT / folder, place / folder, ignore=ignore)
    return place


def at(place, **env):
    """Options that make a process import the copy."""
    return dict(cwd=place, env={"PYTHONPATH": str(place), "NUMBA_CACHE_DIR": "", **env}, timeout=300)


COUNT = """
    from fastvi.kernels.cpu import sweep as cpu
    vi.elbo(vi.Target(normal, 4), Q, 1000, rng=0)
    stats = cpu.sweep("mean_field", False, False, "float64").stats
    print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def test_the_next_process_finds_the_kernels(copy):
    first, second = succeed(COUNT, **at(copy)), succeed(COUNT, **at(copy))
    assert first.split()[1] == "1" and second.split() == ["1", "0"]


def test_an_edit_in_another_file_is_seen(copy):
    """Numba's own cache knows one file; ours knows them all."""
    before = succeed(FIRST_USE, **at(copy))
    philox = copy / "kernels" / "random" / "philox.py"
    text = philox.read_text()
    philox.write_text(text.replace("0xD2511F53", "0xD2511F55"))
    after = succeed(FIRST_USE, **at(copy))
    philox.write_text(text)
    assert after != before and succeed(FIRST_USE, **at(copy)) == before


def test_a_damaged_cache_is_replaced_with_a_warning(copy):
    """An index of garbage for one half of the kernels, empty code for the other."""
    good = succeed(FIRST_USE, **at(copy))
    for number, index in enumerate(sorted(copy.rglob("*.nbi"))):
        damaged = [index] if number % 2 else index.parent.glob(f"{index.stem}.*.nbc")
        for file in damaged:
            file.write_bytes(b"garbage" if number % 2 else b"")
    assert number > 0
    done = run(FIRST_USE, **at(copy))
    assert done.returncode == 0 and done.stdout == good, done.stderr
    assert "could not read a compiled kernel" in done.stderr
    again = run(FIRST_USE, **at(copy))
    assert again.stdout == good and again.stderr == ""


def test_four_cold_processes_at_once(copy):
    for file in [*copy.rglob("*.nbi"), *copy.rglob("*.nbc")]:
        file.unlink()
    from subprocesses import PREAMBLE

    code = PREAMBLE + "print(vi.elbo(vi.Target(normal, 4), Q, 1000, rng=0).value)"
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=copy, env=environment)
        for _ in range(4)
    ]
    outputs = {p.communicate(timeout=600)[0] for p in processes}
    assert all(p.returncode == 0 for p in processes) and len(outputs) == 1


def test_a_read_only_install_without_a_home(copy, tmp_path):
    """No place for a cache is no error.  Root may write anywhere, so the places are made impossible instead."""
    place = tmp_path / "read-only"
    shutil.copytree(copy, place, ignore=shutil.ignore_patterns("__pycache__"))
    blocked = tmp_path / "file"
    blocked.write_text("")
    for folder in ("kernels",):
        (place / folder / "__pycache__").write_text("not a folder")
    options = at(place, HOME=str(blocked), XDG_CACHE_HOME=str(blocked), PYTHONDONTWRITEBYTECODE="1")
    out = succeed(FIRST_USE + "\n    print(vi.kernels.jit.cache_folder())", **options)
    value, folder = out.split()
    assert folder == "None"
    assert float(value) == float(succeed(FIRST_USE, **at(copy)))
