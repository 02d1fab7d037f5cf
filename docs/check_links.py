"""Checks the built site: links inside it lead to a page and a place on it, nothing is loaded from elsewhere.

    python docs/check_links.py docs/_build/html

Addresses of other sites are only looked at for their form; they are not asked for.
"""

from __future__ import annotations

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
_NOT_LOADED = {"canonical", "next", "prev", "index", "search", "author", "license", "copyright"}  # of <link rel=…>


class Page(HTMLParser):
    """Links, loaded files and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {v for v in (values.get("id"), values.get("name")) if v}
        for name, value in values.items():
            if value is None or name not in ("href", "src"):
                continue
            is_loaded = (tag, name) in LOADED and values.get("rel") not in _NOT_LOADED
            (self.loaded if is_loaded else self.links).append(value)


@cache
def read(path: Path) -> Page:
    """A page, parsed once."""
    return Page(path.read_text(encoding="utf-8"))


def faults(root: Path) -> list[str]:
    """One sentence for every link that leads nowhere and every file that would come from another site."""
    found = []
    for path in sorted(root.rglob("*.html")):
        where = path.relative_to(root)
        page = read(path)
        for target in page.links + page.loaded:
            parts = urlsplit(target)
            if parts.scheme in ("http", "https") or target.startswith("//"):
                if target in page.loaded:
                    found.append(f"{where}: loads {target}")
                elif not parts.netloc or " " in target:
                    found.append(f"{where}: {target} is no address")
            elif parts.scheme not in ("", "data", "mailto", "javascript"):
                found.append(f"{where}: {target} has an unknown scheme")
            elif parts.scheme == "":
                found += _inside(root, path, unquote(parts.path), unquote(parts.fragment), target)
    return found


def _inside(root: Path, path: Path, to: str, fragment: str, target: str) -> list[str]:
    where = path.relative_to(root)
    file = (path.parent / to).resolve() if to else path
    file = file / "index.html" if file.is_dir() else file
    if not file.is_file():
        return [f"{where}: {target} does not exist"]
    if fragment and file.suffix == ".html" and fragment not in read(file).anchors:
        return [f"{where}: {target} has no such place"]
    return []


def main() -> None:
    """Print the faults; exit code 1 if there are any."""
    root = Path(sys.argv[1]).resolve()
    found = faults(root)
    for fault in found:
        print(fault, file=sys.stderr)
    print(f"{sum(1 for _ in root.rglob('*.html'))} pages, {len(found)} faults")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
