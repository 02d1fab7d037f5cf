"""Files of each format from molecules that are known: what a fuzzer compares with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

MASS_NUMBER = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9, "S": 16, "Cl": 17, "Na": 11, "Br": 35}


@dataclass(frozen=True)
class Truth:
    """One molecule."""

    symbols: tuple[str, ...]
    positions: tuple[tuple[float, float, float], ...]  # Å, three decimals
    charges: tuple[int, ...]  # formal, of each atom
    unpaired: tuple[int, ...]  # electrons of each atom

    @property
    def charge(self) -> int:
        return sum(self.charges)

    @property
    def multiplicity(self) -> int:
        return 1 + sum(self.unpaired)

    @property
    def lowest(self) -> int:
        """The multiplicity where the file cannot say any."""
        return 1 + (sum(MASS_NUMBER[s] for s in self.symbols) - self.charge) % 2

    @property
    def numbers(self) -> list[int]:
        return [MASS_NUMBER[s] for s in self.symbols]


@st.composite
def truths(draw: st.DrawFn) -> Truth:
    """Molecules of up to eight atoms on a grid, with charges and unpaired electrons that fit."""
    n = draw(st.integers(1, 8))
    symbols = tuple(draw(st.lists(st.sampled_from(sorted(MASS_NUMBER)), min_size=n, max_size=n)))
    shift = draw(st.integers(-400, 400)) / 1000
    positions = tuple((round(1.4 * (k % 3) + shift, 3), round(1.4 * (k // 3), 3), round(0.1 * k, 3)) for k in range(n))
    charges = [draw(st.sampled_from((0, 0, 0, 1, -1, 2))) for _ in range(n)]
    electrons = sum(MASS_NUMBER[s] for s in symbols) - sum(charges)
    if electrons < 0:
        charges, electrons = [0] * n, sum(MASS_NUMBER[s] for s in symbols)
    unpaired = [0] * n
    unpaired[0] = electrons % 2
    if electrons % 2 == 0 and electrons >= 2 and draw(st.booleans()):
        unpaired[0] = 2
    return Truth(symbols, positions, tuple(charges), tuple(unpaired))


def _rows(t: Truth, form: str = "{s:2s} {x:12.6f} {y:12.6f} {z:12.6f}") -> str:
    return "".join(form.format(s=s, x=x, y=y, z=z) + "\n" for s, (x, y, z) in zip(t.symbols, t.positions, strict=True))


def xyz(t: Truth, style: int) -> str:
    q, m = t.charge, t.multiplicity
    comment = (
        f"charge={q} multiplicity={m}",
        f"total_charge={q} uhf={m - 1} energy=-1.5",
        f'Properties=species:S:1:pos:R:3 charge={q} spin_multiplicity={m} pbc="F F F"',
        f"made by hand, charge {q}, mult {m}",
    )[style % 4]
    return f"{len(t.symbols)}\n{comment}\n{_rows(t)}"


def arrays(t: Truth, style: int) -> str:
    """Extended xyz with initial charges and moments; one of zeros alone says nothing."""
    rows = zip(t.symbols, t.positions, t.charges, t.unpaired, strict=True)
    lines = "".join(f"{s} {x:.6f} {y:.6f} {z:.6f} {q:.4f} {u:.4f}\n" for s, (x, y, z), q, u in rows)
    keys = "Properties=species:S:1:pos:R:3:initial_charges:R:1:initial_magmoms:R:1"
    return f"{len(t.symbols)}\n{keys}\n{lines}"


def v2000(t: Truth, style: int) -> str:
    n, old = len(t.symbols), style % 2 and all(-3 <= q <= 3 for q in t.charges) and not any(t.unpaired)
    codes = [{1: 3, 2: 2, -1: 5, 0: 0}[q] if old else 0 for q in t.charges]
    rows = zip(t.symbols, t.positions, codes, strict=True)
    atoms = "".join(f"{x:10.4f}{y:10.4f}{z:10.4f} {s:3s} 0{c:3d}  0  0  0  0\n" for s, (x, y, z), c in rows)
    bonds = "".join(f"{k:3d}{k + 1:3d}  1  0\n" for k in range(1, n))
    said = (
        "" if old else _properties("CHG", t.charges, style) + _properties("RAD", [u and u + 1 for u in t.unpaired], 0)
    )
    head = f"record\n  fuzz              3D\n\n{n:3d}{n - 1:3d}  0  0  0  0  0  0  0  0999 V2000\n"
    return f"{head}{atoms}{bonds}{said}M  END\n$$$$\n"


def _properties(name: str, values: Sequence[int], style: int) -> str:
    pairs = [(k + 1, v) for k, v in enumerate(values) if v]
    width = 1 if style % 3 == 0 else 8
    lines = [pairs[i : i + width] for i in range(0, len(pairs), width)]
    return "".join(f"M  {name}{len(line):3d}" + "".join(f"{k:4d}{v:4d}" for k, v in line) + "\n" for line in lines)


def v3000(t: Truth, style: int) -> str:
    atoms = ""
    for k, (s, (x, y, z), q, u) in enumerate(zip(t.symbols, t.positions, t.charges, t.unpaired, strict=True)):
        said = (f" CHG={q}" if q else "") + (f" RAD={u + 1}" if u else "")
        line = f"M  V30 {k + 1} {s} {x:.4f} {y:.4f} {z:.4f} 0{said}"
        atoms += f"{line[: -len(said)]} -\nM  V30 {said}\n" if said and style % 2 else f"{line}\n"
    head = f"M  V30 BEGIN CTAB\nM  V30 COUNTS {len(t.symbols)} 0 0 0 0\nM  V30 BEGIN ATOM\n"
    first = "record\n  fuzz\n\n  0  0  0     0  0            999 V3000\n"
    return f"{first}{head}{atoms}M  V30 END ATOM\nM  V30 END CTAB\nM  END\n$$$$\n"


def mol2(t: Truth, style: int) -> str:
    shift = [0.25 if k == 0 else -0.25 if k == 1 else 0.0 for k in range(len(t.symbols))]
    shift = shift if len(t.symbols) > 1 and style % 2 else [0.0] * len(t.symbols)
    rows = enumerate(zip(t.symbols, t.positions, t.charges, shift, strict=True), 1)
    types = {"C": "C.3", "N": "N.3", "O": "O.3", "S": "S.3"}
    atoms = "".join(
        f"{k} {s}{k} {x:.4f} {y:.4f} {z:.4f} {types.get(s, s)} 1 LIG {q + d:.4f}\n" for k, (s, (x, y, z), q, d) in rows
    )
    return f"@<TRIPOS>MOLECULE\nrecord\n{len(t.symbols)} 0 1 0 0\nSMALL\nUSER_CHARGES\n\n@<TRIPOS>ATOM\n{atoms}"


def pdb(t: Truth, style: int) -> str:
    lines = "MODEL        1\n"
    for k, (s, (x, y, z), q) in enumerate(zip(t.symbols, t.positions, t.charges, strict=True)):
        sign = f"{abs(q)}{'+' if q > 0 else '-'}" if q else "  "
        place = f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          "
        lines += f"HETATM{k + 1:5d} {s.upper():>2s}   LIG A   1    {place}{s.upper():>2s}{sign}\n"
    return lines + "ENDMDL\n"


def gaussian(t: Truth, style: int) -> str:
    form = ("{s} {x:.6f} {y:.6f} {z:.6f}", "{s},{x:.6f},{y:.6f},{z:.6f}", "{s} 0 {x:.6f} {y:.6f} {z:.6f}")[style % 3]
    title = "" if style % 5 == 0 else "a molecule"
    return f"%chk=a.chk\n#p PM6\n\n{title}\n\n{t.charge} {t.multiplicity}\n{_rows(t, form)}\n"


def orca(t: Truth, style: int) -> str:
    return f"! PM3 # made by a fuzzer\n* xyz {t.charge} {t.multiplicity}\n{_rows(t)}*\n"


def qchem(t: Truth, style: int) -> str:
    return f"$molecule\n{t.charge} {t.multiplicity}\n{_rows(t)}$end\n\n$rem\nmethod b3lyp\n$end\n"


def gamess(t: Truth, style: int) -> str:
    rows = zip(t.symbols, t.positions, strict=True)
    atoms = "".join(f"{s} {MASS_NUMBER[s]}.0 {x:.6f} {y:.6f} {z:.6f}\n" for s, (x, y, z) in rows)
    return f" $CONTRL ICHARG={t.charge} MULT={t.multiplicity} $END\n $DATA\nrecord\nC1\n{atoms} $END\n"


def nwchem(t: Truth, style: int) -> str:
    spin = (f"dft\n xc b3lyp\n mult {t.multiplicity}\nend", f"scf; nopen {t.multiplicity - 1}; uhf; end")[style % 2]
    charge = f"charge {t.charge}"
    before, after = ((charge, spin), (spin, charge))[style // 2 % 2]
    atoms = f"geometry units angstroms noautosym\n{_rows(t)}end"
    return f'start record\ntitle "record {style}"\n{before}\n{atoms}\n{after}\ntask dft optimize\ntask dft freq\n'


def mopac(t: Truth, style: int) -> str:
    spin = ["SINGLET", "DOUBLET", "TRIPLET"][t.multiplicity - 1]
    head = (
        f"PM6 CHARGE={t.charge} {spin}\nrecord\n\n",
        f"PM6 CHARGE={t.charge} +\n{spin} PRECISE\nrecord\n\n",
        f"PM6 {spin} &\nCHARGE={t.charge} XYZ\nrecord\n",
    )[style % 3]
    form = ("{s} {x:.6f} 1 {y:.6f} 1 {z:.6f} 1", "{s} {x:.6f} {y:.6f} {z:.6f}")[style % 2]
    return f"{head}{_rows(t, form)}\n"


def ase_json(t: Truth, style: int) -> str:
    row = {
        "numbers": t.numbers,
        "positions": [list(p) for p in t.positions],
        "initial_charges": [float(q) for q in t.charges],
        "initial_magmoms": [float(u) for u in t.unpaired],
        "pbc": [False] * 3,
        "cell": [[0.0] * 3] * 3,
        "unique_id": "0" * 32,
        "ctime": 1.0,
        "mtime": 1.0,
        "user": "fuzz",
    }
    return json.dumps({"1": row, "ids": [1], "nextid": 2}, indent=1)


@dataclass(frozen=True)
class Writer:
    """A format: its suffix, how a record is written, and whether a file holds several and says the spin."""

    suffix: str
    write: Callable[[Truth, int], str]
    several: bool = True
    spin: bool = True


WRITERS = {
    "xyz": Writer("xyz", xyz),
    "arrays": Writer("extxyz", arrays),
    "V2000": Writer("sdf", v2000),
    "V3000": Writer("mol", v3000),
    "mol2": Writer("mol2", mol2, spin=False),
    "pdb": Writer("pdb", pdb, spin=False),
    "gaussian": Writer("com", gaussian, several=False),
    "orca": Writer("inp", orca, several=False),
    "qchem": Writer("inp", qchem, several=False),
    "gamess": Writer("inp", gamess, several=False),
    "nwchem": Writer("nw", nwchem),
    "mopac": Writer("mop", mopac),
    "json": Writer("json", ase_json, several=False),
}
