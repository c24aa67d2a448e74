"""The gallery: every figure is drawn from numbers that are right, and a missing matplotlib says what to install."""

import sys

import pytest

from fastvi.__main__ import main
from fastvi.examples import gallery

pytestmark = pytest.mark.slow


def test_every_figure_is_drawn(tmp_path, capsys):
    assert main(["gallery", "--out", str(tmp_path)]) == 0
    names = [line.rsplit("/", 1)[-1] for line in capsys.readouterr().out.split()]
    assert names == [*(f"{name}.png" for name in gallery.FIGURES), "captions.md"]
    for name in gallery.FIGURES:
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert (tmp_path / f"{name}.png").stat().st_size > 20_000
    captions = (tmp_path / "captions.md").read_text(encoding="utf-8")
    assert "overconfident, not conservative" in captions and captions.count("## ") == len(gallery.FIGURES)


def test_titles_hold_the_known_numbers(tmp_path):
    """Reverse KL of the factorised Gaussian -log(1 - .81)/2 = .830 with sd .436; a mode alone costs log 2 = .693."""
    from matplotlib.figure import Figure

    axes = Figure().subplots(1, 2)
    gallery.factorised_gaussian(axes)
    assert axes[0].get_title() == "reverse: KL(q‖p) = 0.830, sd = 0.44"
    assert axes[1].get_title().startswith("forward: KL(p‖q) = 0.830")
    axes = Figure().subplots(1, 3)
    gallery.two_modes(axes)
    assert [a.get_title()[:24] for a in axes[1:]] == ["reverse: KL(q‖p) = 0.692"] * 2


def test_without_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'fastvi\[plot\]'"):
        gallery.draw(tmp_path)
