"""Results in a notebook: plain tables that say what ``repr`` says, with everything escaped."""

import dataclasses
import html.parser

import pytest

import fastvi as vi

TARGET = vi.Target(lambda z: -0.5 * z[0] ** 2 - 0.5 * z[1] ** 4, 2, name="<b>")
Q = vi.MeanFieldGaussian([0.1, 0.0], [1.0, 0.6])


class Cells(html.parser.HTMLParser):
    """The cells of a table, row by row; anything but a table with a note is an error."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        assert tag in ("table", "tr", "th", "td", "p", "br") and not attributes
        self.open += [tag] * (tag != "br")
        self.rows += [[]] * (tag == "tr")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.rows[-1] = [*self.rows[-1], data]


def shown(result):
    return {name: " ".join(cells) for name, *cells in Cells(result._repr_html_()).rows}


def test_estimates():
    found = vi.elbo(TARGET, Q, 2000, estimator="plain", rng=0)
    rows = shown(found)
    assert f"{rows['value']} ({rows['from']})" == repr(found) and rows["method"] == "plain"
    low, high = map(float, rows["95 % interval"].split(" to "))
    assert (low, high) == pytest.approx(found.interval(), rel=1e-5)
    assert shown(vi.kl_divergence(Q, Q)) == {"value": "0", "method": "exact"}
    assert "<i>" in Cells(dataclasses.replace(found, note="<i> & </i>")._repr_html_()).rows[-1][-1]


def test_gradients():
    rows = shown(vi.elbo_gradient(TARGET, Q, 2000, rng=0))
    assert {"gradient[0]", "gradient[3]", "norm", "elbo", "method"} <= set(rows) and "gradient[4]" not in rows
    target = vi.Target(lambda z: -0.5 * z @ z, 30)
    rows = shown(vi.elbo_gradient(target, vi.MeanFieldGaussian([0.1] * 30, [1.0] * 30), 100, rng=0))
    assert rows["…"] == "40 more" and "gradient[19]" in rows and "gradient[20]" not in rows


def test_fits_and_diagnoses():
    found = vi.fit(TARGET, rng=0)
    rows = shown(found)
    assert rows["q"] == repr(found.q) and found.message in rows["fit"] and rows["verdict"] in repr(found)
    seen = vi.diagnose(TARGET, Q, 10_000, rng=0)
    rows = shown(seen)
    assert rows.pop("verdict") == seen.verdict and rows.pop("draws") == "10,000"
    assert len(rows) >= 5 and all(text in repr(seen) for text in rows.values())
