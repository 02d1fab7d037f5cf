"""Documents of the repository on the site, and links between both.

Pages named in ``repository_pages`` show a file that stands outside the folder of the site. Links that lead out of that
folder lead to such a page, or else to the file in the repository on the web.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)


def rewritten(text: str, folder: str, pages: dict[str, str], url: str, root: Path) -> str:
    """Markdown of a file in ``folder`` (from the repository's root) with its links as the site needs them.

    ``pages`` says which page shows a file outside the site.
    """

    def replace(match: re.Match[str]) -> str:
        target, _, anchor = match[2].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        anchor = f"#{anchor}" if anchor else ""
        if path in pages:
            return f"{match[1]}/{pages[path]}.md{anchor}{match[3]}"
        if path.startswith("docs/"):
            return f"{match[1]}/{path.removeprefix('docs/')}{anchor}{match[3]}"
        kind = "tree" if (root / path).is_dir() else "blob"
        return f"{match[1]}{url}/{kind}/main/{path}{anchor}{match[3]}"

    out, done = "", 0
    for fence in _FENCE.finditer(text):
        out += _LINK.sub(replace, text[done : fence.start()]) + fence[0]
        done = fence.end()
    return out + _LINK.sub(replace, text[done:])


def _read(app: Any, docname: str, source: list[str]) -> None:
    root = Path(app.srcdir).parent
    pages = app.config.repository_pages
    if docname in pages:
        file = root / pages[docname]
        app.env.note_dependency(str(file))
        head = source[0].strip()  # a page may bring front matter of its own
        source[0] = head + "\n\n" + file.read_text(encoding="utf-8")
        folder = posixpath.dirname(pages[docname])
    else:
        folder = posixpath.join("docs", posixpath.dirname(docname))
    if Path(app.env.doc2path(docname)).suffix == ".md":
        source[0] = rewritten(source[0], folder, {f: p for p, f in pages.items()}, app.config.repository_url, root)


def setup(app: Any) -> dict[str, Any]:
    app.add_config_value("repository_pages", {}, "env")
    app.add_config_value("repository_url", "", "env")
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
