"""Students of few steps: training, resuming, comparing with the teacher, packages that the engine runs."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from joint_autoencoders import write_autoencoder
from joint_stores import GROUPS, TINY, logged, sample

pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")

from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from safetensors.torch import load_file
from typer.testing import CliRunner

from engine.errors import InputError
from engine.joint_settings import joint_settings
from engine.models.verify import verify
from engine.models.weights import sha256_file
from engine.samplers.keyed_noise import KeyedNoise
from engine.samplers.staged import plan_stages
from engine.spec import Job
from engine.translators.joint_diffusion import Rows
from engine.translators.joint_diffusion import open as open_translator
from training import export_joint, export_student
from training.cli import CONFIGS, app
from training.datasets.latent_store import StoreInfo, StoreWriter
from training.datasets.latents import Drawing
from training.datasets.roles import Roles, RolesModule
from training.fit import fit
from training.joint_models import load_model, load_teacher
from training.losses.consistency import Request, TimeFactors, clean_latents
from training.students import compare, comparison_of
from training.tasks.distil import Distillation, student

STUDENT = (
    "threads=1",
    "data.validation=[place3]",
    "data.drawing.batch_size=4",
    "data.drawing.workers=0",
    "data.drawing.steps_per_epoch=30",
    "task.optimisation.rate=3e-3",
    "task.optimisation.rise_steps=5",
    "task.optimisation.fall_steps=0",
    "task.optimisation.averaging=0.9",
    "task.distillation.validation_steps=4",
    "task.distillation.first_intervals=4",
    "task.distillation.last_intervals=8",
    "task.distillation.target_averaging=0.5",
    "trainer.max_epochs=4",
)


def run_here(experiment, output, store, *words):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        chosen = [f"experiment={experiment}", f"output={output}", f"data.store={store}"]
        config = compose("train", [*chosen, f"groups_from={store}", *words])
    try:
        fit(config)
    except InstantiationException as error:  # as eo-train does
        raise error.__cause__ from None
    return output


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distil")
    coders = {f"{name}-autoencoder": write_autoencoder(folder / f"{name}.pth", 2) for name in ("dem", "s2")}
    groups = tuple(g.model_copy(update={"pixel": 2}) if g.name == "dem" else g for g in GROUPS)
    digests = {key: sha256_file(path) for key, path in coders.items()}
    samples = {f"place{i % 4}_{i}": sample(i) for i in range(12)}
    del samples["place0_0"]["dem"]
    store = folder / "store"
    StoreWriter(store, StoreInfo(groups=groups, autoencoders=digests, source="test"), False).add(samples)
    words = [f"+autoencoders.{key}={path}" for key, path in coders.items()]
    more = (
        "task.prediction=velocity",
        "grids=null",
        "trainer.max_epochs=4",
        "data.drawing.steps_per_epoch=50",
        "sampler.steps=6",
    )
    return run_here("cop_gen_beta", folder / "teacher", store, *TINY, *words, *more)


@pytest.fixture(scope="module")
def store(teacher):
    return teacher.parent / "store"


def distilled(teacher, output, store, *words):
    return run_here("distil", output, store, f"teacher={teacher}", *STUDENT, *words)


@pytest.fixture(scope="module")
def run(teacher, store):
    return distilled(teacher, store.parent / "fast", store)


def weights(run):
    return torch.load(run / "last.ckpt", weights_only=True)


def test_the_student_comes_nearer_to_its_teacher(run):
    distances = logged(run, "val/loss")
    assert len(distances) == 4
    assert distances[-1] < 0.8 * distances[0]


def test_a_killed_run_ends_as_if_it_had_not_been(teacher, run, store, tmp_path):
    killed = tmp_path / "killed"
    chosen = [f"output={killed}", f"data.store={store}", f"groups_from={store}", f"teacher={teacher}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "training.cli", "experiment=distil", *chosen, *STUDENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 200
    while not (killed / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert weights(killed)["global_step"] < 120
    distilled(teacher, killed, store)
    first, second = weights(run), weights(killed)
    assert first["global_step"] == second["global_step"] == 120
    assert first["state_dict"].keys() == second["state_dict"].keys()
    assert {name.partition(".")[0] for name in first["state_dict"]} == {"network", "average", "compared"}
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name


def test_a_run_goes_on_with_the_same_teacher_only(teacher, run, store, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    other = tmp_path / "other"
    shutil.copytree(teacher, other)
    state = torch.load(other / "best.ckpt", weights_only=True)
    state["global_step"] += 1
    torch.save(state, other / "best.ckpt")
    with pytest.raises(InputError, match="another teacher"):
        distilled(other, copy, store, "trainer.max_epochs=5")


def test_the_student_learns_another_prediction_first(teacher, store, tmp_path):
    noise = (
        "task.prediction=noise",
        "task.distillation.convert_steps=40",
        "trainer.max_epochs=1",
        "data.drawing.steps_per_epoch=40",
    )
    run = distilled(teacher, tmp_path / "run", store, *noise)
    state = weights(run)
    assert load_model(run).prediction == "noise"
    for name, value in state["state_dict"].items():
        if name.startswith("compared."):  # it is the network itself until consistency is learnt
            assert torch.equal(value, state["state_dict"][name.replace("compared", "network")])
    losses = logged(run)
    assert losses[-1] < 0.8 * losses[0]
    with pytest.raises(InputError, match="convert_steps"):
        distilled(teacher, tmp_path / "none", store, "task.prediction=noise")
    with pytest.raises(InputError, match="another path"):
        distilled(teacher, tmp_path / "flow", store, "task.prediction=flow")


def test_guidance_becomes_part_of_the_student(teacher, store, tmp_path):
    guided = ("task.distillation.guidance=2.0", "task.distillation.order=2", "trainer.max_epochs=1")
    run = distilled(teacher, tmp_path / "run", store, *guided)
    assert comparison_of(str(run)).guidance == 2.0
    assert all(loss == loss for loss in logged(run))


def test_what_cannot_be_a_teacher(teacher, run, tmp_path):
    with pytest.raises(InputError, match="is a student itself"):
        load_teacher(run)
    (tmp_path / "config.yaml").write_text("name: x")
    with pytest.raises(InputError, match="has no checkpoint"):
        load_teacher(tmp_path)
    groups = [json.loads(group.model_dump_json()) for group in GROUPS[1:]]
    with pytest.raises(InputError, match="groups and those of the latents differ"):
        student(str(teacher), groups)


def test_intervals_double_at_even_distances():
    plan = Distillation(first_intervals=8, last_intervals=64, convert_steps=100)
    steps = [0, 99, 100, 299, 300, 500, 700, 899]
    assert [plan.intervals(step, 900) for step in steps] == [8, 8, 8, 8, 16, 32, 64, 64]


def test_roles_follow_from_seed_and_number(store):
    roles, drawing = Roles(given=0.5, absent=0.3), Drawing(seed=5, batch_size=4, steps_per_epoch=10)

    def module():
        made = RolesModule(roles, store=str(store), groups=str(store), drawing=drawing)
        made.setup()
        return made.train_dataloader().dataset

    samples, again = module(), module()
    drawn = [samples[i] for i in range(200)]
    assert all(torch.equal(drawn[i]["wanted"], again[i]["wanted"]) for i in (199, 3, 50))
    wanted, given = (torch.stack([s[name] for s in drawn]) for name in ("wanted", "given"))
    assert wanted.any(dim=1).all()
    assert not (wanted & given).any()
    assert 0.35 < float(given.float().mean()) < 0.55
    assert (~wanted & ~given).any()
    times = torch.stack([s["time"] for s in drawn])
    assert 0.15 < float((times == 1).float().mean()) < 0.35
    assert float(times.min()) > 1e-3
    assert len(times.unique()) > 80
    for i in range(200):  # missing groups are absent
        lacking = samples.samples._key(i) == "place0_0"
        assert not (lacking and (wanted[i, 1] or given[i, 1]))


def test_students_are_compared_with_their_teacher(teacher, run):
    comparison = comparison_of(str(run), patches=3, draws=2, teacher_steps=20)
    table = compare([str(run)], comparison)
    assert list(table) == [
        "teacher, 20 steps",
        "fast, 1 step",
        "fast, 2 steps",
        "teacher, 1 step",
        "teacher, 2 steps",
    ]
    first, one, two = (table[name] for name in list(table)[:3])
    assert first["speed_up"] == 1
    assert min(one["speed_up"], two["speed_up"]) > 2  # 20 and 10 but for what others do on the machine
    assert set(one["modalities"]) == {"dem", "s2"}
    for row in table.values():
        assert row["distance"] > 0
        assert 0 < row["diversity"] < 10
        assert row["psnr"] > 0
    # The same for people; eo-train package takes the scores that it leaves.
    words = ["evaluate", str(run), "--patches", "1", "--samples", "2", "--steps", "4"]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "teacher, 4 steps" in result.output
    stored = json.loads((run / "scores.json").read_text())
    assert stored["fast, 1 step"]["steps"] == 1


def test_a_package_names_what_it_is_compared_with(run, tmp_path):
    with pytest.raises(InputError, match="--teacher"):
        comparison_of("some-package")
    assert comparison_of(str(run)).held_out == ["place3"]


@pytest.fixture(scope="module")
def packages(teacher, run):
    export_joint.package(teacher, teacher.parent / "slow-package")
    export_student.package(run, teacher.parent / "fast-package", {"fast, 1 step": {"psnr": 20.0}})
    return teacher.parent / "slow-package", teacher.parent / "fast-package"


def test_a_student_becomes_a_package(teacher, run, packages):
    slow, fast = (verify(folder).item for folder in packages)
    assert (fast.sampler.solver, fast.sampler.prediction, fast.sampler.steps) == (
        "consistency",
        "velocity",
        2,
    )
    assert fast.sampler.heads == slow.sampler.heads
    assert fast.groups == slow.groups
    assert fast.training["distilled"]["teacher_sha256"] == sha256_file(teacher / "best.ckpt")
    assert fast.training["distilled"]["never_trained_on"] == ["place3"]
    assert fast.metrics["fast, 1 step"] == {"psnr": 20.0}
    average = export_joint.load_joint_run(run)[1]
    stored = load_file(packages[1] / "model.safetensors")
    assert all(torch.equal(stored[name], average[name]) for name in average)
    for asset in ("dem-autoencoder", "s2-autoencoder"):
        assert fast.asset(asset).read_bytes() == slow.asset(asset).read_bytes()


def test_a_package_is_a_teacher_too(store, packages, tmp_path):
    """And its student's package is made of the package's files."""
    run = distilled(
        packages[0], tmp_path / "run", store, "trainer.max_epochs=1", "data.drawing.steps_per_epoch=2"
    )
    assert load_teacher(packages[0]).sha256 == sha256_file(packages[0] / "model.safetensors")
    export_student.package(run, tmp_path / "again")
    again, slow = verify(tmp_path / "again").item, verify(packages[0]).item
    assert again.groups == slow.groups
    assert again.training["distilled"]["teacher"] == "slow-package"
    table = compare(
        [str(tmp_path / "again")],
        comparison_of(
            "again",
            teacher=str(packages[0]),
            store=str(store),
            held_out=["place3"],
            patches=1,
            draws=2,
            teacher_steps=2,
        ),
    )
    assert len(table) == 4


@pytest.mark.parametrize("steps", [1, 2])
def test_the_engine_runs_the_student_as_it_was_trained(packages, run, steps):
    """The clean latents that the run's own network sees at time 1, with new noise between two steps."""
    translator = open_translator(verify(packages[1]).item, "cpu", 1, "float32")
    shape = {group.name: group.latent for group in translator.item.groups}["dem"]
    moments = torch.randn(1, 2 * shape.channels, shape.height, shape.width)
    corners = {"dem": [(3, 4)], "s2": [(6, 8)]}
    job = Job(
        model="fast",
        inputs={"dem": {"path": "dem.tif"}},
        generate=["s2"],
        output="s2.tif",
        steps=steps,
        stages=1,
        posterior="mean",
    )
    (stage,) = plan_stages(steps, 1, "consistency")
    rows = Rows((0,), corners, {"dem": moments.numpy()}, None)
    found = translator.run(stage, rows, joint_settings(job, translator.item), 3, 0, lambda: None)["s2"]

    network, path = load_model(run).network, TimeFactors("velocity")
    noise = KeyedNoise(network.groups, 3, (0,), corners)
    latents = [torch.zeros(1, 1, 1, 3), shape.scale * moments[:, : shape.channels], torch.zeros(1, 4, 8, 8)]
    absent = noise("ignored", "date")
    wanted, given = torch.tensor([[False, False, True]]), torch.tensor([[False, True, False]])
    for number, t in enumerate(Roles(steps=[steps]).times):
        t = torch.tensor([t])
        request = Request(latents, [absent, latents[1], noise("initial", "s2", number)], wanted, given)
        start = path(t) if number else (torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
        states = request.states(*start)
        latents[2] = clean_latents("velocity", states, request.outputs(network, states, t), path(t))[2]
    torch.testing.assert_close(torch.from_numpy(found), latents[2], rtol=1e-3, atol=1e-3)
