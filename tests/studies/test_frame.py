"""The frame of the studies: what is finished is kept, failures cost no other study, the page is whole."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ase.build import molecule

from benchmarks.studies.frame.report import write_report
from benchmarks.studies.frame.runner import all_studies, run_all, run_one
from benchmarks.studies.frame.study import Claim, Findings, Molecule, Study, Table, Work
from nddo_ml.evaluation.figures import new_figure, save_figure

VIEWER = """
const $3Dmol = { createViewer: () => ({ addModel() {}, setStyle() {}, zoomTo() {}, render() {} }) };
"""


def findings(work: Work, n: int = 2) -> Findings:
    value = work.once("value", lambda: n / 2)
    figure = new_figure(2, 2)
    figure.subplots().plot([0, 1], [0, value])
    save_figure(figure, work.path("line.png"))
    return Findings(
        text="a <b>line</b>",
        claims=[Claim("half of n is large", value, ">", 0.5), Claim("n is small", float(n), "<", 10.0, "eV")],
        tables=[Table("numbers", ("name", "n"), [("half", value)])],
        figures={"line.png": "a line"},
        molecules=[Molecule.of("water", molecule("H2O"), [0.0, 1.0, 2.0])],
    )


LINE = Study(1, "line", "A line", "Euclid", findings, {"n": 4}, {"n": 2})


def broken(work: Work) -> Findings:
    raise ValueError("no luck")


class Seen(HTMLParser):
    """Pictures, views and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.views = 0
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img":
            self.pictures.append(given["src"] or "")
        self.views += given.get("class") == "view"

    def handle_data(self, data: str) -> None:
        self.words += data


def test_finished_studies_are_not_run_again(tmp_path: Path) -> None:
    first = run_one(LINE, tmp_path / "line", small=True)
    assert [c["value"] for c in first["claims"]] == [1.0, 2.0]
    assert run_one(LINE, tmp_path / "line", small=True) == first
    assert run_one(LINE, tmp_path / "line")["claims"][0]["value"] == 2.0  # other settings: steps are not kept


def test_steps_go_on(tmp_path: Path) -> None:
    asked = []
    work = Work(tmp_path)
    for _ in range(2):
        assert work.once("step", lambda: asked.append(1) or {"a": 1}) == {"a": 1}
    assert asked == [1]


@pytest.mark.parametrize("viewer", [True, False])
def test_page(tmp_path: Path, viewer: bool) -> None:
    entries = run_all([LINE, Study(2, "broken", "Broken", "", broken)], tmp_path)
    script = tmp_path / "viewer.js"
    script.write_text(VIEWER, encoding="utf-8")
    write_report(tmp_path / "report.html", entries, script if viewer else None)
    page = Seen()
    page.feed((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert [p[:22] for p in page.pictures] == ["data:image/png;base64,"]
    assert page.views == int(viewer)
    assert "ValueError: no luck" in page.words
    assert "a <b>line</b>" in page.words
    assert "2 of 2" in page.words


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
@pytest.mark.slow
def test_page_in_a_browser(tmp_path: Path) -> None:
    """Scripts run to their end, and every picture has a size."""
    script = tmp_path / "viewer.js"
    script.write_text(VIEWER, encoding="utf-8")
    page = tmp_path / "report.html"
    write_report(page, run_all([LINE], tmp_path), script)
    whole = "[...document.images].every(i => i.naturalWidth > 0) ? 'whole' : 'broken'"
    checked = f"<script>document.title = {whole}</script>"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{checked}</body>"), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    assert "<title>whole</title>" in done.stdout
    assert 'data-drawn="yes"' in done.stdout
    assert "Uncaught" not in done.stderr


def test_claims_are_inequalities() -> None:
    assert Claim("", 1.0, "<", 2.0).holds
    assert not Claim("", 1.0, ">", 2.0).holds
    assert Findings("", [Claim("lost", 1.0, ">", 2.0)]).failed()[0].text == "lost"


def test_studies_have_names_and_numbers_of_their_own() -> None:
    studies = all_studies()
    assert len({s.name for s in studies}) == len({s.number for s in studies}) == len(studies)
    assert {s.number for s in studies} <= set(range(1, 12))
