"""Equations of docstrings: the plain Unicode notation that reads well in an editor, set as mathematics on the site.

A docstring writes ``F_σ = h_core + J[P_α + P_β] − K[P_σ]``; the site shows it typeset. What stands between double
backticks is an equation if it holds a mathematical sign that no Python has, or is of the form ``E = E_el + E_core``.
A sign without a known meaning is a warning, hence an error in `make docs`.
"""

from __future__ import annotations

import re
from typing import Any

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau",
    "φ": "varphi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda",
    "Π": "prod", "Σ": "sum", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
SIGNS = {
    "−": "-", "·": r"\cdot ", "×": r"\times ", "±": r"\pm ", "∂": r"\partial ", "∫": r"\int ", "∞": r"\infty ",
    "→": r"\to ", "←": r"\leftarrow ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∝": r"\propto ",
    "∈": r"\in ", "∇": r"\nabla ", "⊗": r"\otimes ", "⟨": r"\langle ", "⟩": r"\rangle ", "½": r"\tfrac{1}{2}",
    "†": r"^{\dagger}", "⅓": r"\tfrac{1}{3}", "⅔": r"\tfrac{2}{3}",
    "…": r"\dots ", "Å": r"\text{Å}", "°": r"^{\circ}", "ℏ": r"\hbar ", "′": "'", "{": r"\{", "}": r"\}", "%": r"\%",
    "&": r"\&", "#": r"\#", "$": r"\$",
}  # fmt: skip
RAISED = {
    "²": "2",
    "³": "3",
    "⁴": "4",
    "⁵": "5",
    "⁶": "6",
    "⁷": "7",
    "⁸": "8",
    "⁹": "9",
    "⁰": "0",
    "¹": "1",
    "ⁿ": "n",
    "⁻": "-",
    "ᵀ": r"\mathsf{T}",
}
FUNCTIONS = {"exp", "cos", "sin", "tanh", "log", "ln", "min", "max", "arccos", "erf", "tr", "det"}
SPELLED = {"eta": "eta", "zeta": "zeta", "lambda": "lambda", "kappa": "kappa", "gamma": "gamma"}
_MATHS = re.compile(f"[{''.join(GREEK)}{''.join(RAISED)}−·×±∂∫∞→←≤≥≠≈∝∈∇⊗⟨⟩½√\u0304\u0302]")
_ASCII_EQUATION = re.compile(r"[A-Za-z]\w*(?: [A-Za-z]\w*)?(?:\([A-Za-z, ]+\))? = [A-Za-z0-9_ +*/^()\[\]]+")
_CODE = re.compile(r"[\"']|\b(True|False|None|self|torch|np)\b|\w\.\w")
_TOKEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?)|h\.c\.|(?P<word>[A-Za-z]+\d*)|(?P<raised>[" + "".join(RAISED) + r"]+)|(?P<space>\s+)|."
)
_NAME = "[A-Za-z0-9" + "".join(GREEK) + "]+"
_ACCENTS = {"\u0304": "bar", "\u0302": "hat"}
LONG = 44  # characters from which an equation gets a line of its own


def is_equation(text: str) -> bool:
    """Whether the text between double backticks is mathematics rather than code."""
    if _MATHS.search(text):
        return re.search(r"[\"']|\b(True|False|None|self)\b", text) is None
    return _ASCII_EQUATION.fullmatch(text) is not None and _CODE.search(text) is None


def latex(text: str) -> str:
    """LaTeX of an equation in the docstrings' notation.

    Raises:
        ValueError: a sign that the tables above lack.
    """
    out = ""
    rest = text
    while rest:
        if rest[0] in "_^":
            content, after = _attached(rest[1:])
            script = latex(content)
            if re.fullmatch(r"[A-Za-z]{3,}|el|in", content) and content not in SPELLED:
                script = rf"\mathrm{{{content}}}"
            out = f"{out.rstrip()}{rest[0]}{{{script}}}"
        elif rest[0] == "√":
            content, after = _attached(rest[1:])
            out += rf"\sqrt{{{latex(content)}}}"
        elif rest[1:2] in _ACCENTS and rest[1:2]:
            out += rf"\{_ACCENTS[rest[1]]}{{{latex(rest[0])}}}"
            after = rest[2:]
        else:
            token = _TOKEN.match(rest)
            assert token is not None
            out += _piece(token, out)
            after = rest[token.end() :]
        rest = after
    return out.strip()


def _piece(token: re.Match[str], before: str) -> str:
    text, kind = token.group(), token.lastgroup
    if kind == "number":
        return text
    if kind == "space":
        return "~" if re.search(r"(?<!\{)\\mathrm\{[A-Za-z]+\}$", before) else " "
    if text == "h.c.":
        return r"\mathrm{h.c.}"
    if kind == "raised":
        return "^{" + "".join(RAISED[c] for c in text) + "}"
    if kind == "word":
        return _word(text)
    if text in GREEK:
        return rf"\{GREEK[text]} "
    if text in SIGNS:
        return SIGNS[text]
    if text.isascii():
        return text
    raise ValueError(f"no LaTeX is known for {text!r} (U+{ord(text):04X})")


def _word(text: str) -> str:
    """A name: functions upright, Greek letters spelled out as such, words of three letters and more upright."""
    if text in FUNCTIONS:
        return rf"\operatorname{{{text}}}" if text in ("tr", "erf") else rf"\{text} "
    if text in SPELLED:
        return rf"\{text} "
    if len(re.sub(r"\d", "", text)) < 3:
        return text if not re.search(r"\d", text) else rf"\mathrm{{{text}}}"
    return rf"\mathrm{{{text}}}"


def _attached(rest: str) -> tuple[str, str]:
    """What a ``_``, ``^`` or ``√`` belongs to, and what follows it."""
    for left, right in ("{}", "()"):
        if rest.startswith(left):
            end = _closing(rest, left, right)
            return rest[1:end], rest[end + 1 :]
    sign = "−" if rest.startswith("−") else ""
    here = rest[len(sign) :]
    name = re.match(r"\d+\.\d+|" + _NAME + r"(?:∈" + _NAME + r")?(?:,[A-Z](?![A-Za-z(])|,[a-z]\([A-Z]\))?|.", here)
    if name is None:
        return "", ""
    end = name.end()
    if sign and here[end : end + 1] == "_":  # a negative exponent with an index of its own
        index = re.match(_NAME, here[end + 1 :])
        end += 1 + (index.end() if index else 0)
    return sign + here[:end], here[end:]


def _closing(text: str, left: str, right: str) -> int:
    depth = 0
    for k, sign in enumerate(text):
        depth += (sign == left) - (sign == right)
        if depth == 0:
            return k
    return len(text)


def typeset(lines: list[str]) -> list[str]:
    """A docstring with its equations as reStructuredText mathematics; long ones in plain paragraphs on their own line.

    Bars outside backticks are absolute values, not substitutions.
    """
    parts = re.split(r"(``[^`]+``)", "\n".join(lines))
    lines = "".join(p if k % 2 else re.sub(r"(?<!\\)\|", r"\|", p) for k, p in enumerate(parts)).split("\n")
    out: list[str] = []
    for paragraph, blank in _paragraphs(lines):
        if not paragraph:
            out += blank
            continue
        out += _paragraph(paragraph) + blank
    return out


def _paragraphs(lines: list[str]) -> list[tuple[list[str], list[str]]]:
    found: list[tuple[list[str], list[str]]] = []
    for line in lines:
        if not line.strip():
            if not found:
                found.append(([], []))
            found[-1][1].append(line)
        elif found and not found[-1][1]:
            found[-1][0].append(line)
        else:
            found.append(([line], []))
    return found


def _paragraph(lines: list[str]) -> list[str]:
    text = "\n".join(lines)
    plain = all(line == line.lstrip() for line in lines) and not re.match(r"[:.*-]", lines[0])
    out, done = "", 0
    for span in re.finditer(r"``([^`]+)``([.,;:]?)", text):
        equation = " ".join(span[1].split())
        if not is_equation(equation):
            continue
        out += text[done : span.start()]
        if plain and len(equation) >= LONG:
            out = f"{out.rstrip()}\n\n.. math:: {latex(equation)}{span[2]}\n\n"
            done = span.end()
            done += len(text[done:]) - len(text[done:].lstrip())
        else:
            out += f":math:`{latex(equation)}`{span[2]}"
            done = span.end()
    return (out + text[done:]).strip("\n").split("\n") if done else lines


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    from sphinx.util import logging

    try:
        lines[:] = typeset(lines)
    except ValueError as error:
        logging.getLogger(__name__).warning("%s: %s", name, error)


def setup(app: Any) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _process, priority=600)  # after napoleon
    return {"parallel_read_safe": True}
