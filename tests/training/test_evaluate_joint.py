"""``eo-train evaluate`` on a run of the joint recipe."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")

from joint_autoencoders import write_autoencoder
from joint_stores import GROUPS, fit_here, sample

from engine.errors import InputError
from engine.models.weights import sha256_file
from training.cli import app
from training.datasets.latent_store import StoreInfo, StoreWriter
from training.evaluate_joint import Plan, evaluate, group_scores, rows

PLAN = Plan(patches=2, samples=2, steps=3)
REQUEST = "grids.requests=[{_target_: training.tasks.sample_grids.Request, generate: [s2]}]"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    files = {f"{name}-autoencoder": write_autoencoder(folder / f"{name}.pth", 2) for name in ("dem", "s2")}
    digests = {key: sha256_file(path) for key, path in files.items()}
    groups = tuple(g.model_copy(update={"pixel": 2}) if g.name == "dem" else g for g in GROUPS)
    info = StoreInfo(groups=groups, autoencoders=digests, source="test")
    StoreWriter(folder / "store", info, False).add({f"place{i % 4}_{i}": sample(i) for i in range(8)})
    words = [f"+autoencoders.{key}={path}" for key, path in files.items()]
    more = [REQUEST, "grids.steps=2", "grids.count=1", "trainer.max_epochs=1"]
    return fit_here(folder / "run", folder / "store", *words, *more)


def test_each_modality_is_scored_from_the_others_and_as_drawn(run):
    found = evaluate(run, PLAN)
    assert list(found["directions"]) == [
        "all others to date",
        "all others to dem",
        "all others to s2",
        "nothing to s2",
    ]
    image = found["directions"]["all others to s2"]["s2"]
    assert image["sample"]["mae"] >= image["best_of_samples"]["mae"] > 0
    assert image["other_real_images"]["rmse"] > 0
    assert 0 <= image["sets"]["nn_accuracy"] <= 1
    assert found["directions"]["all others to date"]["date"]["sample"]["mean_days"] >= 0
    assert json.loads((run / "scores.json").read_text()) == found
    assert evaluate(run, PLAN) == found
    assert any(name == "nothing to s2: s2" and kind == "sample" for name, kind, _ in rows(found))


def test_the_command_prints_every_direction(run):
    shown = CliRunner().invoke(
        app, ["evaluate", str(run), "--patches", "1", "--samples", "1", "--steps", "2"]
    )
    assert shown.exit_code == 0, shown.output
    assert "all others to s2" in shown.output
    assert json.loads((run / "scores.json").read_text())["steps"] == 2


def test_nothing_held_out_is_one_sentence(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    text = (tmp_path / "run/config.yaml").read_text()
    (tmp_path / "run/config.yaml").write_text(
        text.replace("- place3", "").replace("validation:", "validation: []")
    )
    with pytest.raises(InputError, match="holds no places out"):
        evaluate(tmp_path / "run", PLAN)


def test_a_perfect_model_would_score_best(run):
    groups = {group.name: group for group in GROUPS}
    truths = [np.random.default_rng(i).random((2, 16, 16)).astype(np.float32) for i in range(3)]
    found = group_scores(groups["s2"], truths, [[truth] for truth in truths])
    assert found["sample"]["mae"] == 0
    assert found["sample"]["ssim"] == pytest.approx(1)
    assert found["other_real_images"]["ssim"] < 0.5
    assert found["sets"]["coverage"] == pytest.approx(1)
