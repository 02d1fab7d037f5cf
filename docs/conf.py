"""Configuration of the documentation site; `make docs` builds it, with warnings as errors."""

import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "extensions")]

project = "nddo-ml"
author = "nddo-ml developers"
copyright = "nddo-ml developers, Apache-2.0"
version = release = metadata.version("nddo-ml").partition("+")[0]
repository_url = "https://github.com/nddo-ml/nddo-ml"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "docstrings",
    "equations",
    "reference",
    "repository",
]
exclude_patterns = ["_build"]

# Documents that stand elsewhere in the repository, and their pages.
repository_pages = {
    "architecture": "ARCHITECTURE.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    "recipes": "recipes/README.md",
}

# page: title, introduction, packages and modules
reference_pages = {
    "core": (
        "Batches, elements, errors",
        "The batch type, what every failure looks like, and small things that everything uses.",
        [
            *(f"nddo_ml.{n}" for n in ["systems", "errors", "elements", "units", "display"]),
            *(f"nddo_ml.{n}" for n in ["storage", "derivatives", "networks", "threads"]),
        ],
    ),
    "models": ("Models", "What a model is, the methods, the potentials, and models on disk.", ["nddo_ml.models"]),
    "workflows": ("Workflows", "Relaxation, second derivatives, ASE, solids, coordinates.", ["nddo_ml.workflows"]),
    "hybrid": ("Hybrids", "Networks inside the self-consistent field.", ["nddo_ml.hybrid"]),
    "training": (
        "Training",
        "Configuration, losses, optimisers, and how models are asked for many structures.",
        ["nddo_ml.training", "nddo_ml.predictors"],
    ),
    "datasets": ("Data sets", "Labelled structures: reading, checking, zeros of the energy.", ["nddo_ml.datasets"]),
    "evaluation": ("Evaluation", "Errors of a model on labelled structures, and reports.", ["nddo_ml.evaluation"]),
    "compare": ("Comparisons and scans", "Models side by side.", ["nddo_ml.compare"]),
    "structures": (
        "Structures from files",
        "What a file or a SMILES string says of molecules.",
        ["nddo_ml.structures"],
    ),
    "results": ("Results", "Results as they come, kept and written whole.", ["nddo_ml.results"]),
    "environments": ("Environments", "Fields, point charges and solvents around a molecule.", ["nddo_ml.environments"]),
    "electrostatics": (
        "Electrostatics",
        "Charges and their Coulomb energy beside a potential.",
        ["nddo_ml.electrostatics"],
    ),
    "generate": ("Molecules by rules", "Structures for training data.", ["nddo_ml.generate"]),
    "labelling": ("Reference labels", "Calculations with PySCF.", ["nddo_ml.labelling"]),
    "methods": ("Methods", "The published methods and their parameters.", ["nddo_ml.methods"]),
    "terms": (
        "Energy terms",
        "Dispersion, hydrogen bonds, halogen bonds and more beside the field.",
        ["nddo_ml.terms"],
    ),
    "integrals": ("Integrals", "From atoms to matrices; lengths are in bohr here.", ["nddo_ml.integrals"]),
    "scf": ("Self-consistent field", "Fock matrices, solvers, stability.", ["nddo_ml.scf"]),
    "compiled": ("Compiled core", "Fields and forces of molecules in C, beside the torch code.", ["nddo_ml.core"]),
    "energy": ("Energy and properties", "What is made of a converged density.", ["nddo_ml.energy"]),
    "descriptors": ("bp_descriptors", "Neighbour lists and symmetry functions, usable alone.", ["bp_descriptors"]),
}

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 4  # as hosts of repositories make them, so that links work in both places
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 110
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
add_module_names = False
copybutton_exclude = ".linenos, .gp, .go"

# Everything the pages need is on the site: no font, script or picture comes from elsewhere.
html_theme = "furo"
html_title = f"nddo-ml {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"chtml": {"displayAlign": "left", "displayIndent": "1.5em", "scale": 0.95}}
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {"color-brand-primary": "#2a5d9c", "color-brand-content": "#2a5d9c"},
    "dark_css_variables": {"color-brand-primary": "#8db8ee", "color-brand-content": "#8db8ee"},
    "navigation_with_keys": True,
}


def _ship_mathjax(app: object, error: Exception | None) -> None:
    """MathJax and its fonts, from the package that carries them, to the site."""
    from sphinx.util.fileutil import copy_asset

    spec = find_spec("sphinx-mathjax-offline")
    if error or app.builder.format != "html":
        return
    if spec is None:
        raise ImportError("equations need the package sphinx-mathjax-offline (pip install '.[docs]')")
    source, target = Path(spec.origin).parent / "static" / "mathjax", Path(app.outdir) / "_static" / "mathjax"
    copy_asset(source / "tex-chtml.js", target)
    copy_asset(source / "output" / "chtml" / "fonts", target / "output" / "chtml" / "fonts")


def setup(app: object) -> None:
    """Connect what is configured here."""
    app.connect("build-finished", _ship_mathjax)
