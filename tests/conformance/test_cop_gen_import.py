"""The sets' own files through ``models import``: the same network, and the published shapes recognised."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")

import cop_gen_data as data  # noqa: E402
from cop_gen_data import one_thread  # noqa: E402, F401

from engine.modalities.published import published_groups, published_sampler  # noqa: E402
from engine.models.joint_families import BETA_MODALITIES, autoencoder_files, recognise  # noqa: E402
from engine.models.joint_import import import_joint  # noqa: E402
from engine.translators.joint_networks import image_channels, latent_groups, load_networks  # noqa: E402

FAMILY = {"cop_gen_beta": "cop-gen-beta", "cop_gen": "cop-gen"}
EXACT = 1e-6


@pytest.mark.parametrize(("folder", "name"), data.entries("nnets", ("cop_gen_beta",)))
def test_cop_gen_beta_package_is_the_network_of_the_file(folder, name, tmp_path, monkeypatch):
    data.needs_diffusers()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    described = data.index(folder)
    entry = described["nnets"][name]
    if tuple(entry["modalities"]) not in BETA_MODALITIES.values():
        pytest.skip(f"no published model has the modalities {entry['modalities']}")
    if len(described["vae"]["ddconfig"]["ch_mult"]) != 4:
        pytest.skip("the set's autoencoder is not one of a reduction by 8")
    item = import_joint(
        FAMILY[folder],
        data.ROOT / folder / entry["file"],
        data.ROOT / folder / described["vae"]["file"],
        f"nnet-{name}".lower(),
        heads=entry["config"]["num_heads"],
    )
    assert item.takes == tuple(entry["modalities"])
    assert item.total_parameters == entry["n_params"]
    original, networks = data.network(folder, name), load_networks(item)
    assert sorted(networks.codecs) == sorted(entry["modalities"])
    latents = [torch.randn(2, *group.shape) for group in original.groups]
    times = [torch.tensor([0.0, 1000.0])] * len(latents)
    with torch.inference_mode():
        pairs = zip(networks.denoiser(latents, times), original(latents, times), strict=True)
        for found, expected in pairs:
            data.assert_near(found, expected, EXACT)


def published(folder):
    """What keys.json lists, and the tensors of that size without values."""
    if not (data.ROOT / folder / "keys.json").is_file():
        pytest.skip(f"no {data.ROOT / folder / 'keys.json'} (set EO_CONFORMANCE)")
    listed = data.read_json(folder, "keys.json")
    keys = listed["nnet"]["keys"]
    return listed, {name: torch.empty(shape, device="meta") for name, shape in keys.items()}


@pytest.mark.parametrize("folder", data.FAMILIES)
def test_cop_gen_published_shapes_are_recognised(folder):
    _, tensors = published(folder)
    groups, sampler = recognise(FAMILY[folder], tensors, "keys.json")
    assert groups == published_groups(FAMILY[folder])
    assert sampler == published_sampler(FAMILY[folder])


def test_cop_gen_groups_files_and_constants_are_the_published_ones():
    listed, tensors = published("cop_gen")
    groups, _ = recognise("cop-gen", tensors, "keys.json")
    files = autoencoder_files("cop-gen")
    assert len(files) == sum(entry["type"] == "image" for entry in listed["groups"])
    for group, latent, entry in zip(groups, latent_groups(groups), listed["groups"], strict=True):
        assert (group.name, list(latent.shape), latent.patch) == (
            entry["name"],
            entry["latent"],
            entry["patch"],
        )
        if entry["type"] == "image":
            assert group.latent.scale == entry["scale_factor"]
            assert entry["vae_file"].endswith(files[group.latent.autoencoder])
            assert [band.name.lower() for band in group.bands] == [band.lower() for band in entry["bands"]]
            assert image_channels(group) == entry["image"][0]
