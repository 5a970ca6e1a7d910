"""Small stores of latents, and runs of the joint recipe on them."""

import json
import subprocess
import sys

import numpy as np

from training.datasets.latent_store import StoreInfo, StoreWriter
from training.groups import groups_of


def group(name, modality, side=4, channels=4, **encoding):
    return {
        "name": name,
        "modality": modality,
        "latent": {
            "channels": channels,
            "height": side,
            "width": side,
            "scale": 0.5,
            "autoencoder": f"{name}-autoencoder",
        },
        "encoding": encoding or {"kind": "reflectance"},
        "bands": [{"name": f"{name}-{i}"} for i in range(2)],
    }


GROUPS = groups_of(
    [
        {
            "name": "date",
            "modality": "date",
            "latent": {"channels": 1, "height": 1, "width": 3, "patch": 1},
            "encoding": {"kind": "date"},
        },
        group("dem", "dem"),
        group("s2", "s2", side=8),
    ]
)


def sample(seed, groups=GROUPS):
    """The second group is the coarse form of the third, so there is something to learn."""
    rng = np.random.default_rng(seed)
    base = rng.standard_normal((4, 4, 4), dtype=np.float32)
    found = {}
    for entry in groups:
        latent = entry.latent
        if entry.is_vector:
            found[entry.name] = base.ravel()[:3].reshape(1, 1, 3).copy()
            continue
        mean = base.repeat(latent.height // 4, axis=1).repeat(latent.width // 4, axis=2)
        found[entry.name] = np.concatenate([2 * mean, np.full_like(mean, -6)])
    return found


def write_store(path, count=12, database=False, without=()):
    """``count`` samples of four places; samples named in ``without`` lack the first image group."""
    writer = StoreWriter(path, StoreInfo(groups=GROUPS, source="test"), database)
    samples = {f"place{i % 4}_{i}": sample(i) for i in range(count)}
    for key in without:
        del samples[key]["dem"]
    writer.add(samples)
    return path


TINY = (
    "threads=1",
    "network.width=32",
    "network.depth=3",
    "network.heads=2",
    "data.validation=[place3]",
    "data.drawing.batch_size=4",
    "data.drawing.workers=0",
    "data.drawing.steps_per_epoch=3",
    "task.checkpointing=false",
    "task.optimisation.rate=1e-3",
    "task.optimisation.rise_steps=2",
    "task.optimisation.averaging=0.9",
    "trainer.precision=32-true",
    "trainer.max_epochs=3",
    "grids.requests=[]",
)


def words(output, store, *more):
    told = ["experiment=cop_gen_beta", f"output={output}", f"data.store={store}", f"groups_from={store}"]
    return [*told, *TINY, *more]


def fit_here(output, store, *more):
    """A run in this process, which saves the start of another."""
    from hydra import compose, initialize_config_dir

    from training.cli import CONFIGS
    from training.fit import fit

    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", words(output, store, *more))
    fit(config)
    return output


def start(output, store, *more):
    """A run in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "training.cli", *words(output, store, *more)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return text


def logged(run, name="loss"):
    """Values of a scalar in the TensorBoard log of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "log"))
    events.Reload()
    return [event.value for event in events.Scalars(name)]


def write_json(path, value):
    path.write_text(json.dumps(value))
    return path
