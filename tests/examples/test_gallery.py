"""The gallery: every figure is drawn from numbers that are right, and a missing matplotlib says what to install."""

import base64
import html.parser
import sys
import webbrowser

import pytest

from fastvi.__main__ import main
from fastvi.examples import gallery, page

pytestmark = pytest.mark.slow


class Reader(html.parser.HTMLParser):
    """What a page is made of: (tag, attributes) in order, its text, and whether every tag is closed."""

    VOID = {"meta", "img", "br"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open += [tag] * (tag not in self.VOID)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_holds_everything(tmp_path, capsys, monkeypatch):
    """Nothing is loaded from elsewhere; the numbers are those that Bishop (2006) and the lecture know."""
    shown = []
    monkeypatch.setattr(webbrowser, "open", shown.append)
    out = tmp_path / "made" / "page.html"
    assert main(["gallery", "--open", "--out", str(out)]) == 0
    assert capsys.readouterr() == (f"{out}\n", "") and shown == [out.as_uri()]
    found = Reader(out.read_text(encoding="utf-8"))
    assert not found.open and not {"script", "link", "iframe"} & {tag for tag, _ in found.tags}
    images = [attributes["src"] for tag, attributes in found.tags if tag == "img"]
    assert len(images) == len(page.FIGURES) == sum(tag == "table" for tag, _ in found.tags)
    for source in images:
        kind, _, data = source.partition(",")
        assert kind == "data:image/svg+xml;base64" and base64.b64decode(data).rstrip().endswith(b"</svg>")
    text = "".join(found.text)
    assert "overconfident, not conservative" in text and "IWAE-1000" in text
    assert "KL(q‖p)0.830366 (exact)0.4359" in text  # -log(1 - 0.9²) / 2 and sqrt(1 - 0.9²)


def test_pictures_in_a_folder(tmp_path, monkeypatch):
    names = ("factorised_gaussian", "two_modes")
    files = page.folder(tmp_path, names)
    assert [file.name for file in files] == [*(f"{name}.png" for name in names), "captions.md"]
    assert all(file.read_bytes()[:4] == b"\x89PNG" and file.stat().st_size > 20_000 for file in files[:-1])
    assert files[-1].read_text(encoding="utf-8").count("## ") == 2


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


def test_without_matplotlib(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["gallery", "--out", str(tmp_path / "page.html")]) == 1
    assert capsys.readouterr() == ("", "fastvi: error: the gallery needs matplotlib: pip install 'fastvi[plot]'\n")
    assert not (tmp_path / "page.html").exists()
