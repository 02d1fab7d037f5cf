"""Pages of the reference, written from the packages as they are: a page for each subpackage, a section a module."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

HEAD = "<!-- Written when the site is built. -->\n\n"


def modules_of(package: str) -> list[str]:
    """A package's public modules, itself first, those of its subpackages left out."""
    module = import_module(package)
    if not hasattr(module, "__path__"):
        return [package]
    found = [m.name for m in pkgutil.iter_modules(module.__path__, f"{package}.") if not m.ispkg]
    return [package, *sorted(m for m in found if not m.rpartition(".")[2].startswith("_") and _has_what_it_needs(m))]


def _has_what_it_needs(name: str) -> bool:
    """False for a module beside an optional package that is not installed here, which has no section then."""
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "nddo_ml").partition(".")[0] in ("nddo_ml", "bp_descriptors"):
            raise
        return False
    return True


def page(title: str, introduction: str, modules: list[str]) -> str:
    """Markdown of one page."""
    parts = [f"{HEAD}# {title}\n\n{introduction}\n"]
    for name in modules:
        members = "" if hasattr(import_module(name), "__path__") else "\n   :members:\n   :ignore-module-all:"
        parts.append(f"## `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}{members}\n```\n")
    return "\n".join(parts)


def _write(app: Any) -> None:
    folder = Path(app.srcdir) / "api"
    wanted = {}
    for name, (title, introduction, packages) in app.config.reference_pages.items():
        modules = [m for p in packages for m in modules_of(p)]
        wanted[folder / f"{name}.md"] = page(title, introduction, modules)
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.glob("*.md"):
        if path not in wanted and path.read_text(encoding="utf-8").startswith(HEAD):
            path.unlink()


def setup(app: Any) -> dict[str, Any]:
    app.add_config_value("reference_pages", {}, "env")
    app.connect("builder-inited", _write)
    return {"parallel_read_safe": True}
