"""The documentation site's own parts: equations of docstrings, fields, the reference, the check of links."""

import ast
import importlib.util
import pkgutil
import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import bp_descriptors
import nddo_ml

ROOT = Path(__file__).parents[2]
EXTENSIONS = ROOT / "docs" / "extensions"


def load(path: Path):
    """A module of the site, from its file."""
    spec = importlib.util.spec_from_file_location(f"site_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def equations():
    return load(EXTENSIONS / "equations.py")


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("F_σ = h_core + J[P_α + P_β]", r"F_{\sigma} = h_{\mathrm{core}} + J[P_{\alpha} + P_{\beta}]"),
        ("Σ_μ∈A P_μμ", r"\sum_{\mu \in A} P_{\mu \mu}"),
        ("C_a Z C_iᵀ + h.c.", r"C_{a} Z C_{i}^{\mathsf{T}} + \mathrm{h.c.}"),
        ("√(r_ij² + ρ_A)", r"\sqrt{r_{ij}^{2} + \rho_{A}}"),
        ("(R/s)^−α_n", r"(R/s)^{-\alpha_{n}}"),
        ("R^1.72905", r"R^{1.72905}"),
        ("2^(1−zeta) (1 + lambda cos θ)^zeta", r"2^{1-\zeta} (1 + \lambda  \cos  \theta )^{\zeta}"),
        ("P̄_ai", r"\bar{P}_{ai}"),
    ],
)
def test_notation_becomes_latex(equations, text, latex):
    assert equations.latex(text) == latex


@pytest.mark.parametrize("code", ["systems.positions", "spread = False", 'NDDO("AM1", correction=…)', "key=value"])
def test_code_is_no_equation(equations, code):
    assert not equations.is_equation(code)


def test_unknown_sign_is_an_error(equations):
    with pytest.raises(ValueError, match=r"U\+2603"):
        equations.latex("E = ☃")


def test_long_equations_stand_alone_and_bars_are_no_substitutions(equations):
    short, long = "E = ½ k x²", "Λ = −(C_a Z C_iᵀ + h.c.) + Σ_i Σ_j x_i A_ij x_j"
    lines = equations.typeset([f"With ``{short}`` and", f"``{long}``, where |x| is small."])
    text = "\n".join(lines)
    assert f":math:`{equations.latex(short)}` and" in text
    assert f"\n\n.. math:: {equations.latex(long)},\n\nwhere" in text
    assert r"\|x\|" in text


def docstrings() -> list[tuple[str, str]]:
    found = []
    for package in ("nddo_ml", "bp_descriptors"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                    found.append((str(path.relative_to(ROOT)), text))
    return found


def test_every_equation_of_the_docstrings_is_known(equations):
    seen = 0
    for path, text in docstrings():
        for span in re.findall(r"``([^`]+)``", text):
            equation = " ".join(span.split())
            if equations.is_equation(equation):
                seen += 1
                latex = equations.latex(equation)
                assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}"), path
    assert seen > 60


def test_fields_are_described_by_their_comments():
    comments = load(EXTENSIONS / "docstrings.py").comments("nddo_ml.models.prediction")
    assert comments["Prediction", "energy"] == "[systems] eV"


def public_modules() -> set[str]:
    names = {m.name for p in (nddo_ml, bp_descriptors) for m in pkgutil.walk_packages(p.__path__, f"{p.__name__}.")}
    return {n for n in names if not re.search(r"\.(cli|moved|__main__)\b|\._", n)}


def test_reference_has_every_module(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    pages = runpy.run_path(str(ROOT / "docs" / "conf.py"))["reference_pages"]
    modules_of = load(EXTENSIONS / "reference.py").modules_of
    shown = [m for _, _, packages in pages.values() for p in packages for m in modules_of(p)]
    assert len(shown) == len(set(shown))
    without_package = set() if find_spec("torch_sim") else {"nddo_ml.workflows.torchsim"}
    assert public_modules() - set(shown) == without_package
    index = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    assert all(re.search(rf"^{name}$", index, re.M) for name in pages)


def test_links_of_documents_outside_the_site_lead_to_their_pages():
    rewritten = load(EXTENSIONS / "repository.py").rewritten
    pages = {"recipes": "recipes/README.md"}
    pages_by_file = {file: page for page, file in pages.items()}
    text = "[a](../recipes/README.md#x) [b](../examples) [c](nnp.md) [d](https://e.org)\n```\n[e](../f)\n```\n"
    out = rewritten(text, "docs", pages_by_file, "https://host/p", ROOT)
    assert "(/recipes.md#x)" in out
    assert "(https://host/p/tree/main/examples)" in out
    assert "(/nnp.md)" in out
    assert "(https://e.org)" in out
    assert "[e](../f)" in out


def test_check_of_links_finds_what_is_wrong(tmp_path):
    check = load(ROOT / "docs" / "check_links.py")
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#here">b</a><a href="#top">t</a><a href="b.html#nowhere">x</a>'
        '<a href="c.html">c</a><script src="https://cdn.example/x.js"></script><a href="https://fine.example/">f</a>'
    )
    (tmp_path / "b.html").write_text('<p id="here"></p>')
    assert check.faults(tmp_path.resolve()) == [
        "a.html: b.html#nowhere has no such place",
        "a.html: c.html does not exist",
        "a.html: loads https://cdn.example/x.js",
    ]
