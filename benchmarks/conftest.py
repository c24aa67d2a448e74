"""Options of the benchmark suites, and what the machine was."""

import importlib.metadata
import platform

import pytest

import sides

PACKAGES = ("fastvi", "numba", "numpy", "scipy", "jax", "torch", "numpyro", "pymc", "blackjax")
# the last two are in test_fits.py and test_pymc.py; PyMC in an environment of its own, as it holds Numba back
KNOWN = [*sides.SIDES, "pathfinder", "pymc"]


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, default=1, help="CPUs that every side may use")
    parser.addoption("--sides", default="fastvi,numpy", help="of " + ",".join(KNOWN))


def pytest_configure(config):
    unknown = set(config.getoption("--sides").split(",")) - set(KNOWN)
    if unknown:
        raise pytest.UsageError(f"--sides: unknown {sorted(unknown)}, expected some of {KNOWN}")


@pytest.fixture(scope="session")
def confined(request):
    """Every library held to ``--threads`` CPUs while the benchmarks run."""
    from threadpoolctl import threadpool_limits

    count = request.config.getoption("--threads")
    sides.confine(count)
    with threadpool_limits(count):
        yield count


@pytest.fixture
def threads(confined):
    return confined


def pytest_benchmark_update_machine_info(config, machine_info):
    installed = {d.name for d in importlib.metadata.distributions()}
    versions = {name: importlib.metadata.version(name) for name in PACKAGES if name in installed}
    machine_info["fastvi"] = {
        "threads": config.getoption("--threads"),
        "cpu": cpu_model(),
        "python": platform.python_version(),
        "versions": versions,
    }


def cpu_model():
    """The CPU as the system calls it."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def pytest_benchmark_update_json(config, benchmarks, output_json):
    """Keep what the report needs; the host's name and each round's time stay at home."""
    output_json["machine_info"] = {"fastvi": output_json["machine_info"]["fastvi"]}
    output_json.pop("commit_info", None)
    kept = ("min", "max", "mean", "stddev", "median", "iqr", "rounds", "iterations")
    output_json["benchmarks"] = [
        {
            "group": entry["group"],
            "extra_info": entry["extra_info"],
            "stats": {name: entry["stats"][name] for name in kept},
        }
        for entry in output_json["benchmarks"]
    ]
