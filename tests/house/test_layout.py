"""The house: one copy of the kernels, imports that point one way, small files."""

import ast
import importlib
import importlib.metadata
import importlib.util
import pathlib
import pickle
import pickletools
import subprocess
import sys

import pytest

import fastvi
import fastvi.kernels

ROOT = pathlib.Path(__file__).parents[2]
KERNELS, PACKAGE = ROOT / "kernels", ROOT / "fastvi"
# An import at the top of a file goes down this list, or stays in its package
PACKAGES = [
    "targets",
    "families",
    "execution",
    "estimators",
    "diagnostics",
    "fitting",
    "translate",
    "bridges",
    "examples",
]
# Files of routines: plain Python, where only ``jit`` spells the compiler
ROUTINES = [
    *(
        f"families/{name}.py"
        for name in (
            "mean_field",
            "low_rank",
            "factors",
            "factor_root",
            "factor_paths",
            "full_rank",
            "product",
            "quantile_factors",
        )
    ),
    *(f"random/{name}.py" for name in ("philox", "normal")),
    *(f"sums/{name}.py" for name in ("moments", "score")),
    *(f"arithmetic/{name}.py" for name in ("triangular", "elementary")),
]
SOURCES = sorted([*KERNELS.rglob("*.py"), *PACKAGE.rglob("*.py")])


def imported(path):
    """Every module name that a file imports, relative ones with their dots."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((module + alias.name) for alias in node.names) if module.strip(".") == "" else (module,)


def test_one_copy_of_the_kernels():
    assert fastvi.kernels.__name__ == "fastvi.kernels" and "kernels" not in sys.modules
    assert pathlib.Path(fastvi.kernels.__file__).parent == KERNELS


def test_nothing_beside_the_packages_is_importable():
    """A checkout that lends its folder to ``__path__`` would make second copies of itself importable."""
    for name in ("fastvi.tests", "fastvi.fastvi", "fastvi.benchmarks"):
        assert importlib.util.find_spec(name) is None, name


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    for module in imported(path):
        assert module.split(".")[0] not in ("tests", "benchmarks", "kernels"), module
        if KERNELS in path.parents:
            assert not module.startswith("fastvi"), f"kernels know nothing of the API: {module}"
            if path.relative_to(KERNELS).as_posix() in ROUTINES:
                assert module.split(".")[0] != "numba", "routines are plain Python; only jit spells the compiler"
        if PACKAGE in path.parents:
            assert module.split(".")[0] not in ("numba", "llvmlite"), module


def floor_of(path) -> int:
    """The place of a file in ``PACKAGES``; the ground floor is -1, and fastvi's face and command line are on top."""
    parts = path.relative_to(PACKAGE).parts
    if len(parts) > 1:
        return PACKAGES.index(parts[0])
    return len(PACKAGES) if path.name in ("__init__.py", "__main__.py") else -1


def modules_at_the_top(path):
    """Absolute names of what a file of the package imports when it is imported itself."""
    package = ["fastvi", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join(package[: len(package) - node.level + 1] + ([node.module] if node.module else []))
            yield from (f"{base}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_packages_stand_on_each_other(path):
    for module in modules_at_the_top(path):
        parts = module.split(".")
        if parts[1] in PACKAGES:
            assert PACKAGES.index(parts[1]) <= floor_of(path), f"{module} is above"


def test_no_name_of_a_package_hides_one_of_its_modules():
    for name in PACKAGES:
        for path in (PACKAGE / name).glob("[!_]*.py"):
            face = importlib.import_module(f"fastvi.{name}")
            assert not callable(getattr(face, path.stem, None)), f"{face.__name__}.{path.stem}"


def test_three_files_know_numba_cuda():
    """It is in maintenance; what replaces it will be met there."""
    known = {p.name for p in SOURCES if "numba.cuda" in p.read_text() or "from numba import cuda" in p.read_text()}
    assert known == {"cuda.py", "scores.py", "device.py"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_small(path):
    assert len(path.read_text().splitlines()) <= 300


def test_public_names_have_docstrings_and_pickle_by_reference():
    for name in fastvi.__all__:
        thing = getattr(fastvi, name)
        if callable(thing):
            assert thing.__doc__ and pickle.loads(pickle.dumps(thing)) is thing
        if isinstance(thing, type):
            assert thing.__module__ == "fastvi", "pickles name one public home"


def test_pickled_results_name_no_private_module():
    target = fastvi.Target(lambda z: -0.5 * z[0] ** 2, 1)
    q = fastvi.MeanFieldGaussian([0.1], [0.9])
    results = (
        fastvi.diagnose(target, q, 1000, rng=0),
        fastvi.bounds(target, q, 1000, rng=0),
        fastvi.elbo(target, q, 100),
    )
    modules = {
        argument.split(" ")[0]
        for result in results
        for opcode, argument, _ in pickletools.genops(pickle.dumps(result, protocol=2))
        if opcode.name == "GLOBAL" and str(argument).startswith("fastvi")
    }
    assert modules == {"fastvi", "fastvi.rng"}


def test_guests_are_not_imported():
    """Nothing but numba, numpy and scipy comes with ``import fastvi``; nothing is printed."""
    code = (
        "import sys, fastvi; guests = {'jax', 'torch', 'numpyro', 'pymc', 'arviz', 'matplotlib', 'tqdm', 'dask'};"
        "guests.add('numba.cuda'); assert not guests & set(sys.modules), guests & set(sys.modules); fastvi.__version__"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_version_is_the_installed_one():
    assert importlib.metadata.version("fastvi") == fastvi.__version__
    assert (PACKAGE / "py.typed").exists()
