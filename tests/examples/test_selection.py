"""The program on variable selection: a bound that holds, and probabilities near those of all sets of columns."""

import numpy as np

from fastvi.__main__ import main
from fastvi.examples import selection


def test_columns_are_selected(capsys):
    result = selection.solve(20_000)
    found = result.found
    assert found.converged
    gap = result.log_evidence - found.elbo.value
    assert -3 * found.elbo.standard_error < gap < 1.0
    by_q = found.q["s"].probabilities
    assert np.max(np.abs(by_q - result.exact)) < 0.25 and np.all((by_q > 0.5) == (result.exact > 0.5))
    assert by_q[0] > 0.99 and by_q[1] > 0.9 and np.all(by_q[3:] < 0.5)
    errors = [np.nanmax(result.gradients[e].standard_error[:12]) for e in selection.ESTIMATORS]
    assert errors[0] > 3.0 * errors[1]
    # the parameters are where E d log p / d theta vanishes, by the gradient of the same draws
    slope, error = (getattr(result.gradients["quadratic"], name)[12:] for name in ("gradient", "standard_error"))
    assert np.all(np.abs(slope) < 5 * error + 0.1)


def test_it_prints_its_table(capsys):
    assert main(["examples", "selection", "--num-samples", "4096"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("column  true slope") and "log p(y) there" in printed
