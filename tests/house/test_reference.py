"""The API reference builds from the docstrings without a warning, and shows every public name and its formulas."""

import pathlib
import subprocess
import sys

import pytest

import fastvi

SCRIPT = pathlib.Path(__file__).parents[2] / ".ci" / "reference.py"


@pytest.mark.docs
def test_the_reference_builds(tmp_path):
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "fastvi.html").read_text(encoding="utf-8")
    missing = [name for name in fastvi.__all__ if name != "__version__" and f'<section id="{name}">' not in page]
    assert not missing
    assert "MathJax" in page and r"<p>$$ KL(q \parallel p) = E_q[\log q(z) - \log p(z)] $$</p>" in page
    assert (tmp_path / "fastvi" / "bridges" / "c.html").exists()


def test_every_public_name_has_an_example():
    """Those of ``test_docstrings.test_examples_run`` are run."""
    assert not [
        name for name in fastvi.__all__ if name != "__version__" and ">>> " not in getattr(fastvi, name).__doc__
    ]
