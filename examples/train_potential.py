"""Train a small potential in a minute, evaluate it, and follow its committee's spread off the training data."""

import tempfile
from pathlib import Path

from ase.io import read

from nddo_ml import Systems
from nddo_ml.datasets.dataset import Source
from nddo_ml.training.config import DataConfig, LossConfig, ModelConfig, PhaseConfig, TrainConfig
from nddo_ml.training.run import train

DATA = Path(__file__).parents[1] / "tests" / "data" / "acac" / "train_sample.extxyz"

with tempfile.TemporaryDirectory() as folder:
    config = TrainConfig(
        data=DataConfig(train=(Source(str(DATA)),), test=(Source(str(DATA)),)),
        loss=LossConfig(energy=100.0, forces=1.0),
        phases=(
            PhaseConfig("adam", epochs=40, batch=4, lr=5e-3),
            PhaseConfig("lbfgs", epochs=3),
        ),
        model=ModelConfig("nnp", {"cutoff": 4.5, "size": "small", "hidden": (12,)}),
        committee=2,
        output=folder,
    )
    result = train(config)

for label, entry in result.test_errors["labels"].items():
    print(f"{label}: MAE {entry['mae']:.4f} {entry['unit']}")

molecule = read(DATA, "0")
for scale in (1.0, 1.1, 1.3):
    stretched = molecule.copy()
    stretched.positions *= scale
    prediction = result.model(Systems.from_ase(stretched), forces=True)
    print(f"scaled by {scale}: spread of the energy {float(prediction.energy_spread):.2f} eV")
