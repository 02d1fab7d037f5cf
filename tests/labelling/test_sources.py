"""Labels of ASE calculators and of programs: values, what they are told, resumed runs, errors."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.io import read, write
from places import ROOT

from nddo_ml.cli.groups import expanded
from nddo_ml.cli.label import label as grouped
from nddo_ml.errors import InputError
from nddo_ml.labelling.run import Resources, Summary, Task, attempt_batch, label, prepare
from nddo_ml.labelling.sources import CalculatorSource, CommandSource, Source
from nddo_ml.labelling.store import LabelFile
from nddo_ml.structures.structure import Structure

pytest.importorskip("threadpoolctl")

LJ = CalculatorSource("ase.calculators.lj:LennardJones", '{"sigma": 0.9, "epsilon": 0.5}')
HYDROXIDE = Atoms("OH", [[0.0, 0.1, 0.0], [0.6, 0.2, 0.8]], info={"charge": -1})
PROGRAM = """
import sys
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

frames = read(sys.argv[1], ":")
CHANGE
for atoms in frames:
    atoms.info["energy_spread"] = 0.25
    results = {"energy": EMT().get_potential_energy(atoms), "forces": EMT().get_forces(atoms)}
    atoms.calc = SinglePointCalculator(atoms, **results)
write(sys.argv[2], frames)
"""


class Charged(Calculator):
    """Its energy is the charge that it was made with."""

    implemented_properties = ("energy",)

    def __init__(self, charge: float, scale: float = 1.0) -> None:
        super().__init__()
        self.energy = scale * charge

    def calculate(self, atoms: Atoms, properties: list[str], system_changes: list[str] = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": self.energy, "spread": 0.5, "converged": True}


def tasks_of(*structures: Atoms) -> list[Task]:
    return [prepare(Structure("test.xyz", k, atoms)) for k, atoms in enumerate(structures)]


def program(folder: Path, change: str = "", **settings: bool) -> CommandSource:
    path = folder / "program.py"
    path.write_text(PROGRAM.replace("CHANGE", change))
    return CommandSource(f"{sys.executable} {path} {{input}} {{output}}", **settings)


def test_calculator_in_two_processes(tmp_path: Path) -> None:
    tasks, output = tasks_of(molecule("H2O"), molecule("CH4"), molecule("NH3")), tmp_path / "labels.extxyz"
    assert label(tasks, output, LJ, Resources(workers=2)) == Summary(labelled=3)
    frames = {f.info["frame"]: f for f in read(output, ":")}
    for task in tasks:
        expected = LennardJones(sigma=0.9, epsilon=0.5)
        frame = frames[task.frame]
        assert frame.get_potential_energy() == pytest.approx(expected.get_potential_energy(task.atoms), abs=1e-8)
        np.testing.assert_allclose(frame.get_forces(), expected.get_forces(task.atoms), atol=1e-8)
        assert frame.info["level"].startswith("ase.calculators.lj:LennardJones(sigma=0.9, epsilon=0.5), ase 3")
    assert label(tasks, output, LJ) == Summary(skipped=3)
    with pytest.raises(InputError, match="holds labels at ase"):
        label(tasks, output, CalculatorSource("ase.calculators.emt:EMT"))


def test_program_gives_what_its_calculator_gives(tmp_path: Path) -> None:
    source, output = program(tmp_path), tmp_path / "labels.extxyz"
    tasks = tasks_of(molecule("H2O"), molecule("CH4"), molecule("NH3"))
    assert label(tasks, output, source, Resources(batch=2)) == Summary(labelled=3)
    for frame, task in zip(read(output, ":"), tasks, strict=True):
        assert frame.get_potential_energy() == pytest.approx(EMT().get_potential_energy(task.atoms), abs=1e-7)
        np.testing.assert_allclose(frame.get_forces(), EMT().get_forces(task.atoms), atol=1e-7)
        assert frame.info["energy_spread"] == 0.25
        assert frame.info["source"] == "test.xyz"
        assert frame.info["level"] == source.command


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("raise SystemExit('no licence')", "ended with 1: no licence"),
        ("raise SystemExit(0)", "wrote no output"),
        ("frames = frames[1:] + frames[:1] * 2", "holds [23] structures"),
        ("frames = [a[::-1] for a in frames]", "other atoms, or in another order"),
        ("[a.rotate(90, 'x') for a in frames]", "moved or turned atoms"),
        ("EMT.get_potential_energy = lambda self, atoms: float('nan')", "the energy holds others"),
    ],
)
def test_a_program_that_answers_something_else(tmp_path: Path, change: str, reason: str) -> None:
    source = program(tmp_path, change)
    with pytest.raises(RuntimeError, match=reason):
        source.label([molecule("H2O"), molecule("CH4")], 1)


def test_what_fails_in_a_batch_is_tried_alone(tmp_path: Path) -> None:
    source = program(tmp_path, "assert not any(len(a) == 2 for a in frames), 'a diatomic'")
    outcomes = attempt_batch(tasks_of(molecule("H2O"), molecule("CO"), molecule("CH4")), source, 1)
    assert [o.atoms is None for o in outcomes] == [False, True, False]
    assert "a diatomic" in outcomes[1].reason


def test_charge_and_multiplicity_reach_the_source(tmp_path: Path) -> None:
    ion, water = (t.atoms for t in tasks_of(HYDROXIDE, molecule("H2O")))
    told = CalculatorSource(f"{__file__}:Charged", '{"charge": "{charge}", "scale": 2.0}')
    labelled = told.label([ion, water], 1)
    assert [a.get_potential_energy() for a in labelled] == [-2.0, 0.0]
    assert labelled[0].info["spread"] == 0.5
    assert "converged" not in labelled[0].info
    echo = "import sys, re; a, b, q = sys.argv[1:]; t = open(a).read(); "
    echo += "open(b, 'w').write(re.sub('pbc=', 'energy=' + q + ' pbc=', t))"
    (tmp_path / "echo.py").write_text(echo)
    source = CommandSource(f"{sys.executable} {tmp_path / 'echo.py'} {{input}} {{output}} {{charge}}")
    assert [a.get_potential_energy() for a in source.label([ion, water], 1)] == [-1.0, 0.0]


@pytest.mark.parametrize("source", [LJ, CommandSource("true {input} {output}")])
def test_an_ion_is_refused_where_the_source_would_not_know(source: Source) -> None:
    ion = tasks_of(HYDROXIDE)[0].atoms
    with pytest.raises(InputError, match=r"charge -1; expected {charge} in --c.*or --reads-state"):
        source.check_structure(ion)
    (radical,) = tasks_of(Atoms("OH", HYDROXIDE.positions))
    with pytest.raises(InputError, match=r"multiplicity 2; expected {multiplicity}"):
        source.label([radical.atoms], 1)
    CalculatorSource(LJ.factory, reads_state=True).check_structure(ion)


@pytest.mark.parametrize(
    ("source", "match"),
    [
        (CalculatorSource("ase.calculators.lj"), "expects MODULE:FACTORY"),
        (CalculatorSource("no.such.module:X"), "no.such.module could not be imported: ModuleNotFoundError"),
        (CalculatorSource("no/such/file.py:X"), "no/such/file.py could not be imported"),
        (CalculatorSource("ase.calculators.lj:Nothing"), "has no 'Nothing'"),
        (CalculatorSource("builtins:dict"), "expects an ASE calculator; builtins:dict makes a dict"),
        (CalculatorSource(f"{__file__}:Charged"), "could not be made from {}: TypeError"),
        (CalculatorSource(LJ.factory, "[1]"), "expects a JSON object"),
        (CalculatorSource(LJ.factory, "{1"), "expects a JSON object"),
        (CommandSource("no-such-program {input} {output}"), "found none named 'no-such-program'"),
        (CommandSource("true {input}"), "with {input} and {output}"),
        (CommandSource("true {input} {output} {oops}"), "only in braces"),
        (CommandSource("true {input} {output} 'open"), "only in braces"),
    ],
)
def test_bad_sources(source: Source, match: str) -> None:
    with pytest.raises(InputError, match=match):
        source.check()


def test_descriptions_fit_into_a_header(tmp_path: Path) -> None:
    source = CommandSource('sh -c "x\n{input} {output}"')
    assert source.description == "sh -c 'x {input} {output}'"
    for _ in range(2):
        with LabelFile(tmp_path / "labels.extxyz", source.description) as file:
            file.append("0" * 16, molecule("H2"))
    assert CalculatorSource("a:b", level="coupled clusters").description == "coupled clusters"


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    command, source, output = expanded(grouped), tmp_path / "in.extxyz", tmp_path / "labels.extxyz"
    write(source, [molecule("H2"), HYDROXIDE])
    settings = {"calculator": LJ.factory, "calculator_args": LJ.arguments, "workers": 1}
    with pytest.raises(typer.Exit) as left:
        command(files=[source], output=output, **settings)
    assert left.value.exit_code == 2
    assert "frame 1: has charge -1; expected {charge}" in capsys.readouterr().err
    with pytest.raises(typer.Exit) as left:
        command(files=[source], output=output, reads_state=True, **settings)
    assert left.value.exit_code == 0
    assert len(read(output, ":")) == 2
    for wrong, match in [
        ({"calculator": "a:b", "command": "c"}, "not both"),
        ({"calculator_args": "{}"}, "expects a --calculator"),
        ({"level": "x"}, "expect a --calculator or --command"),
        ({"command": "true {input} {output}", "functional": "pbe"}, "no settings of PySCF"),
        ({"calculator": LJ.factory, "batch": 0}, "batch must be at least 1"),
    ]:
        with pytest.raises(InputError, match=match):
            command(files=[source], output=output, **wrong)


INTERRUPTED = """
import sys
from pathlib import Path
from ase import Atoms
from nddo_ml.structures.structure import Structure
from nddo_ml.labelling.run import Resources, label, prepare
from nddo_ml.labelling.sources import CalculatorSource

class Slow(__import__("ase.calculators.lj", fromlist=["x"]).LennardJones):
    def calculate(self, *args, **kwargs):
        __import__("time").sleep(0.05)
        super().calculate(*args, **kwargs)

if __name__ == "__main__":
    frames = [Atoms("N2", [[0, 0, 0], [0, 0, 1.0 + 0.01 * k]]) for k in range(int(sys.argv[2]))]
    tasks = [prepare(Structure("n2.xyz", k, frame)) for k, frame in enumerate(frames)]
    source = CalculatorSource(__file__ + ":Slow", level="slow")
    print(label(tasks, Path(sys.argv[1]), source, Resources(workers=2, batch=3)).skipped)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_killed_run_goes_on(tmp_path: Path, name: str) -> None:
    output, script = tmp_path / "labels.extxyz", tmp_path / "slow.py"
    script.write_text(INTERRUPTED)
    arguments, root = [sys.executable, str(script), str(output)], str(ROOT)
    settings = {"env": os.environ | {"PYTHONPATH": root}, "text": True}
    with subprocess.Popen([*arguments, "1000"], stderr=subprocess.DEVNULL, **settings) as process:
        while process.poll() is None and (not output.exists() or output.stat().st_size == 0):
            time.sleep(0.05)
        process.send_signal(signal.Signals[name])
    assert process.returncode != 0
    done = len(read(output, ":"))
    again = subprocess.run([*arguments, str(done + 2)], capture_output=True, check=True, **settings)
    assert int(again.stdout) <= done
    frames = read(output, ":")
    assert sorted(f.info["frame"] for f in frames)[: done + 2] == list(range(done + 2))
    assert not (tmp_path / "labels.extxyz.failures.jsonl").exists()
    assert {f.info["level"] for f in frames} == {"slow"}
