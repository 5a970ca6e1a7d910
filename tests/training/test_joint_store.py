"""Stores of latents: what is written comes back; what could run code or is damaged is refused."""

import pickle

import numpy as np
import pytest
from joint_stores import GROUPS, fit_here, sample, write_store

from engine.errors import InputError
from training.datasets.latent_store import FolderStore, StoreInfo, StoreWriter, location, open_store
from training.datasets.latents import Drawing, LatentSamples, LatentsModule, split
from training.datasets.restricted_pickle import loads

DRAWING = Drawing(seed=3, batch_size=2, steps_per_epoch=4)


class Trap:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("database", [True, False])
def test_a_store_gives_back_what_was_written(tmp_path, database):
    if database:
        pytest.importorskip("lmdb")
    store = open_store(write_store(tmp_path, database=database, without=("place1_1",)))
    assert len(store.keys) == 12
    assert store.info.groups == GROUPS
    found, expected = store.read("place2_2"), sample(2)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    assert "dem" not in store.read("place1_1")


def test_the_order_of_axes_in_memory_does_not_matter(tmp_path):
    value = np.arange(2 * 4 * 4 * 4, dtype=np.float32).reshape(8, 4, 4)
    turned = np.asfortranarray(value)
    StoreWriter(tmp_path, StoreInfo(groups=GROUPS), database=False).add({"place_0": {"dem": turned}})
    np.testing.assert_array_equal(open_store(tmp_path).read("place_0")["dem"], value)


@pytest.mark.parametrize("database", [True, False])
def test_writing_goes_on_after_a_stop(tmp_path, database):
    write_store(tmp_path, count=5, database=database)
    writer = StoreWriter(tmp_path, StoreInfo(groups=GROUPS), database)
    assert "place0_4" in writer
    assert "place1_5" not in writer
    writer.add({"place1_5": sample(5)})
    del writer
    assert len(open_store(tmp_path).keys) == 6


def test_a_store_of_other_groups_is_not_mixed(tmp_path):
    write_store(tmp_path)
    with pytest.raises(InputError, match="other groups"):
        StoreWriter(tmp_path, StoreInfo(groups=GROUPS[:2]), database=False)


def test_a_pickle_with_code_is_refused_unread(tmp_path, capsys):
    for value in (Trap(), {"dem": Trap()}, {"dem": np.array([Trap()], dtype=object)}):
        with pytest.raises(InputError, match=r"may run code|array of 'O8'"):
            loads(pickle.dumps(value), "The sample x")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_arrays_is_read_in_every_protocol(protocol):
    if protocol < 3:
        pytest.skip("byte strings of Python 2 pass through a codec, which the authors' stores do not need")
    value = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(3.0)[::-1], "c": b"raw"}
    found = loads(pickle.dumps(value, protocol), "The sample x")
    np.testing.assert_array_equal(found["a"], value["a"])
    np.testing.assert_array_equal(found["b"], value["b"])
    assert found["c"] == b"raw"


def test_damaged_pickles_are_one_sentence():
    data = pickle.dumps({"dem": np.ones((2, 2), np.float32)})
    for cut in range(1, len(data) - 1):
        with pytest.raises(InputError):
            loads(data[:cut], "The sample x")
    for value in (np.ones(3, int), np.array(["a"])):
        with pytest.raises(InputError):
            loads(pickle.dumps(value), "The sample x")


def test_a_damaged_or_strange_sample_is_one_sentence(tmp_path):
    write_store(tmp_path)
    file = tmp_path / "samples" / "place0_0.safetensors"
    good = file.read_bytes()
    file.write_bytes(good[:-9])
    with pytest.raises(InputError, match="damaged"):
        FolderStore(tmp_path).read("place0_0")
    samples = LatentSamples(FolderStore(tmp_path), ["place0_4"], GROUPS, DRAWING)
    for value, word in (
        (np.zeros((3, 4, 4), np.float32), "expected"),
        (np.full((8, 4, 4), np.nan), "finite"),
    ):
        StoreWriter(tmp_path, StoreInfo(groups=GROUPS), False).add(
            {"place0_4": {"dem": value.astype(np.float32)}}
        )
        with pytest.raises(InputError, match=word):
            samples[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_foreign_objects_in_a_database_end_a_run_in_one_sentence(tmp_path, workers, capsys):
    lmdb = pytest.importorskip("lmdb")
    write_store(tmp_path / "store", database=True)
    with lmdb.open(str(tmp_path / "store")).begin(write=True) as transaction:
        transaction.put(b"place2_2", pickle.dumps({"dem": Trap()}))
    with pytest.raises(InputError) as caught:
        fit_here(tmp_path / "run", tmp_path / "store", f"data.drawing.workers={workers}")
    assert str(caught.value).startswith("The sample place2_2 of")
    assert "may run code" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_no_store_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="eo-train encode"):
        open_store(tmp_path)
    (tmp_path / "data.mdb").write_bytes(b"no database")
    with pytest.raises(InputError, match="database"):
        open_store(tmp_path)


def test_a_sample_depends_on_its_number_alone(tmp_path):
    store = open_store(write_store(tmp_path))
    first, second = (LatentSamples(store, store.keys, GROUPS, DRAWING) for _ in range(2))
    ahead = [second[n] for n in reversed(range(30))][::-1]
    for n in range(30):
        here = first[n]
        assert here["time"].equal(ahead[n]["time"])
        assert here["latent"]["s2"].equal(ahead[n]["latent"]["s2"])
    keys = [first._key(n) for n in range(24)]
    assert sorted(keys[:12]) == sorted(keys[12:]) == sorted(store.keys)
    assert keys[:12] != keys[12:]


def test_latents_are_drawn_anew_from_their_moments(tmp_path):
    store = open_store(write_store(tmp_path, count=1))
    samples = LatentSamples(store, store.keys, GROUPS, DRAWING)
    drawn = np.stack([samples[n]["latent"]["s2"].numpy() for n in range(400)])
    mean, log_variance = np.split(sample(0)["s2"], 2)
    np.testing.assert_allclose(drawn.mean(0), 0.5 * mean, atol=0.03)
    np.testing.assert_allclose(drawn.std(0), 0.5 * np.exp(0.5 * log_variance), rtol=0.2)
    times = np.stack([samples[n]["time"].numpy() for n in range(400)])
    assert times.min() >= 1
    assert times.max() <= 1000
    assert abs(np.corrcoef(times.T)[0, 1]) < 0.2


def test_groups_that_count_can_stand_where_sampling_starts(tmp_path):
    store = open_store(write_store(tmp_path, count=1))
    drawing = Drawing(seed=3, batch_size=2, steps_per_epoch=4, clean=0.3, start=1.0)
    samples = LatentSamples(store, store.keys, GROUPS, drawing)
    for number in range(20):
        time, learnt = (samples[number][name].numpy() for name in ("time", "learnt"))
        assert set(time[learnt > 0]) <= {1000}
        assert set(time[learnt == 0]) <= {0}


def test_missing_given_and_left_out_groups_do_not_count(tmp_path):
    store = open_store(write_store(tmp_path, count=1, without=("place0_0",)))
    drawing = Drawing(seed=3, batch_size=2, steps_per_epoch=4, clean=0.3, absent=0.3)
    samples = LatentSamples(store, store.keys, GROUPS, drawing)
    found = [samples[n] for n in range(300)]
    time, learnt = (np.stack([s[kind].numpy() for s in found]) for kind in ("time", "learnt"))
    assert (time[:, 1] == 1000).all()
    assert not learnt[:, 1].any()
    assert not found[0]["latent"]["dem"].any()
    for i in (0, 2):
        assert (learnt[:, i] == 0).mean() == pytest.approx(0.6, abs=0.1)
        assert (time[:, i] == 0).mean() == pytest.approx(0.3, abs=0.1)
        assert not learnt[time[:, i] == 0, i].any()


def test_places_are_held_out_whole():
    keys = ["12D_7R_patch_13", "12D_7R_patch_1", "618U_30L_patch_0", "100U_200R_3.npy", "o032_4"]
    assert [location(key) for key in keys] == ["12D_7R", "12D_7R", "618U_30L", "100U_200R", "o032"]
    training, held_out = split(keys, ["12D_*"], ["o032"])
    assert held_out == keys[:2]
    assert training == keys[2:4]
    with pytest.raises(InputError, match="named nowhere"):
        split(keys, ["nowhere"])
    with pytest.raises(InputError, match="Nothing is left"):
        split(keys, ["*"])


def test_two_devices_see_what_one_with_a_doubled_batch_sees(tmp_path):
    from training.datasets.latents import StepSampler

    one = list(StepSampler(Drawing(0, 4, 3), 0, 1))
    two = [list(StepSampler(Drawing(0, 2, 3), rank, 2)) for rank in range(2)]
    for step in range(3):
        halves = [numbers[2 * step : 2 * step + 2] for numbers in two]
        assert [*halves[0], *halves[1]] == one[4 * step : 4 * step + 4]


def test_nothing_held_out_means_no_validation(tmp_path):
    module = LatentsModule(str(write_store(tmp_path)), str(tmp_path), DRAWING)
    module.setup()
    assert module.val_dataloader() == []
    assert len(module.training_keys) == 12
