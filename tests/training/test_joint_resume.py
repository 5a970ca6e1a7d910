"""A run of the joint recipe that is killed goes on as if it had not been."""

import signal
import time

import pytest
import torch
from joint_stores import finish, fit_here, logged, start, write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("store"), without=("place0_0",))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, store):
    return fit_here(tmp_path_factory.mktemp("runs") / "whole", store, "keep_every=1")


def weights(run):
    return torch.load(run / "last.ckpt", weights_only=True)


def test_a_killed_run_ends_as_if_it_had_not_been(whole, store, tmp_path):
    run = tmp_path / "killed"
    process = start(run, store)
    deadline = time.monotonic() + 200
    while not (run / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert weights(run)["global_step"] < 9
    finish(start(run, store))
    first, second = weights(whole), weights(run)
    assert first["global_step"] == second["global_step"] == 9
    assert first["state_dict"].keys() == second["state_dict"].keys()
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name


def test_checkpoints_are_whole_and_the_loss_is_watched(whole):
    kept = {"step=3.ckpt", "step=6.ckpt", "step=9.ckpt"}
    assert {path.name for path in whole.glob("*.ckpt")} == {"last.ckpt", "best.ckpt", *kept}
    assert not list(whole.glob("*.part"))
    assert len(logged(whole, "val/loss")) == 3


def test_a_run_without_held_out_places_keeps_the_last_checkpoint(store, tmp_path):
    run = fit_here(tmp_path, store, "data.validation=[]", "monitor=null", "trainer.max_epochs=1")
    assert [path.name for path in run.glob("*.ckpt")] == ["last.ckpt"]


def test_the_network_learns(store, tmp_path):
    fit_here(tmp_path / "run", store, "trainer.max_epochs=25", "data.drawing.batch_size=8")
    losses = logged(tmp_path / "run", "val/loss")
    assert losses[-1] < 0.8 * losses[0]
