"""The authors' stores of latents are read as their own data sets read them, and run nothing."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")
pytest.importorskip("lmdb", reason="needs the [train] extra")

from cop_gen_data import (  # noqa: E402
    ROOT,
    assert_near,
    codec,
    needs,
    one_thread,  # noqa: F401 (a fixture)
    part,
    read_tensors,
)

from training.datasets.latent_store import open_store  # noqa: E402
from training.datasets.patch_folders import FOLDERS  # noqa: E402
from training.datasets.vector_caches import VectorCaches  # noqa: E402

STORE = ROOT / "cop_gen" / "store"
BETA = ROOT / "cop_gen_beta" / "e2e"


@needs("cop_gen", "store/expected.safetensors")
def test_store_of_cop_gen():
    stored = open_store(STORE / "merged")
    dates = next(iter(STORE.glob("*.pkl")), None)
    positions = next((path for path in STORE.iterdir() if (path / "latlon_patches.npy").is_file()), None)
    caches = VectorCaches(stored, positions and str(positions), dates and str(dates))
    expected = read_tensors("cop_gen", "store/expected.safetensors")
    keys = sorted({name.rsplit(".", 1)[0] for name in expected})
    assert keys
    assert set(keys) <= set(stored.keys)
    for key in keys:
        found, wanted = caches.read(key), part(expected, f"{key}.")
        assert found.keys() == wanted.keys()
        for group, value in wanted.items():
            np.testing.assert_array_equal(found[group], value.numpy(), err_msg=f"{key} {group}")


@needs("cop_gen_beta", "e2e/lmdb/data.mdb")
def test_patches_of_cop_gen_beta_are_encoded_as_the_authors_encode_them(tmp_path):
    from training.encode import run

    file = json.loads((ROOT / "cop_gen_beta" / "index.json").read_text())["vae"]["file"]
    words = [f"autoencoder={ROOT / 'cop_gen_beta' / file}"]
    authors = open_store(BETA / "lmdb")
    assert run(BETA / "patches", tmp_path, "cop-gen-beta", words, folder=False) == len(authors.keys)
    found = open_store(tmp_path)
    assert [f"{key}.npy" for key in found.keys] == list(authors.keys)
    for key in found.keys:
        sample, theirs = found.read(key), authors.read(f"{key}.npy")
        for group, folder in FOLDERS.items():
            expected = np.frombuffer(theirs[folder], np.float32).reshape(sample[group].shape)
            np.testing.assert_allclose(sample[group], expected, atol=1e-4)


@needs("cop_gen_beta", "e2e/lmdb/data.mdb")
def test_recipe_of_cop_gen_beta_reads_the_authors_store():
    from omegaconf import OmegaConf

    from training.cli import CONFIGS
    from training.datasets.latents import Drawing, LatentSamples, drawn
    from training.groups import groups_of

    recipe = OmegaConf.load(CONFIGS / "experiment" / "cop_gen_beta.yaml")
    stored, groups = open_store(BETA / "lmdb"), groups_of(recipe.groups_from)
    samples = LatentSamples(stored, stored.keys, groups, Drawing(0, 1, 1), recipe.data.names)
    sample = samples[0]
    assert sample["learnt"].tolist() == [1.0] * len(groups)
    for group in groups:
        raw = stored.read(samples._key(0))[recipe.data.names[group.name]]
        moments = np.frombuffer(raw, np.float32).reshape(8, 32, 32)
        mean = drawn(group, moments, np.zeros((4, 32, 32), np.float32))
        np.testing.assert_allclose(mean, 0.18215 * moments[:4], rtol=1e-6)
        spread = 0.18215 * np.exp(0.5 * moments[4:].clip(-30, 20))
        assert (np.abs(sample["latent"][group.name].numpy() - mean) <= 6 * spread + 1e-6).all()


@needs("cop_gen_beta", "e2e/lmdb/data.mdb")
def test_store_of_cop_gen_beta():
    from PIL import Image

    stored, coder = open_store(BETA / "lmdb"), codec("cop_gen_beta")
    case = json.loads((BETA / "e2e.json").read_text())
    assert stored.keys
    for key in stored.keys:
        groups = stored.read(key)
        assert len(groups) == len(case["modalities"])
        for name, raw in groups.items():
            image = np.array(Image.open(BETA / "patches" / name / f"{key.removesuffix('.npy')}.png"))
            values = torch.from_numpy(image)[None].movedim(-1, 1).float() / 127.5 - 1
            found = torch.from_numpy(np.frombuffer(raw, np.float32).copy())
            assert_near(found, coder.moments(values).flatten(), 1e-4)
