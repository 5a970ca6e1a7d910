"""Published files of COP-GEN-Beta and COP-GEN become packages: every tensor or none, and no code is run."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")
pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")

from joint_packages import (  # noqa: E402
    HEADS,
    autoencoder_state,
    beta_files,
    beta_package,
    beta_state,
    cop_gen_files,
    cop_gen_state,
    saved,
)
from safetensors.torch import load_file, save_file  # noqa: E402

from engine.errors import EOTranslateError, ModelError, OutputError  # noqa: E402
from engine.modalities.published import published_groups  # noqa: E402
from engine.models import store  # noqa: E402
from engine.models.joint_families import autoencoder_files, recognise  # noqa: E402
from engine.models.joint_import import import_joint  # noqa: E402
from engine.models.verify import verify  # noqa: E402
from engine.networks.cop_gen import CopGen  # noqa: E402
from engine.translators.joint_networks import latent_groups, load_denoiser, load_networks  # noqa: E402


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EO_TRANSLATE_MODELS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield store.user_folder()
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return beta_files(tmp_path_factory.mktemp("beta"))


@pytest.fixture
def beta(published, tmp_path):
    """Copies that may be spoilt."""
    return tuple(Path(shutil.copy(file, tmp_path)) for file in published)


@pytest.fixture(scope="module")
def cop_gen(tmp_path_factory):
    return cop_gen_files(tmp_path_factory.mktemp("cop-gen"))


def refused(home, match, family, weights, autoencoders, heads=HEADS):
    with pytest.raises(EOTranslateError, match=match) as caught:
        import_joint(family, weights, autoencoders, "joint", heads)
    assert "\n" not in str(caught.value)
    assert not home.exists() or list(home.iterdir()) == []
    return str(caught.value)


def rewrite(path, change):
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


@pytest.mark.parametrize(
    "modalities", [("dem", "s1_rtc", "s2_l1c", "s2_l2a"), ("dem", "s1_rtc", "s2_l1c"), ("s1_rtc", "s2_l2a")]
)
def test_beta_networks_are_told_by_their_number_of_modalities(tmp_path, modalities):
    item = beta_package(tmp_path, modalities=modalities)
    assert (item.family, item.takes, item.gives) == ("joint-diffusion", modalities, modalities)
    assert (item.tiling.window_px, item.tiling.stride_px, item.tiling.stride_multiple) == (64, 48, 8)
    assert sorted(p.name for p in item.folder.iterdir()) == [
        "autoencoder.safetensors",
        "item.json",
        "model.safetensors",
    ]
    assert verify(item.folder).notes == ()
    assert "display values" in item.limits
    assert "No licence" in item.limits


def test_tensors_are_kept_under_their_published_names(beta):
    item = import_joint("cop-gen-beta", *beta, "beta", HEADS)
    for file, key in zip(beta, ("model", "autoencoder"), strict=True):
        published, kept = torch.load(file, weights_only=True), load_file(item.asset(key))
        assert published.keys() == kept.keys()
        assert all(torch.equal(kept[name], tensor) for name, tensor in published.items())
    assert item.total_parameters == sum(t.numel() for t in load_file(item.weights_path).values())
    assert item.training["imported_from"]["model"]["file"] == "nnet_ema_114000.pth"


def test_loaded_denoiser_is_the_published_network(beta):
    item = import_joint("cop-gen-beta", *beta, "beta", HEADS)
    groups = latent_groups(item.groups)
    original = CopGen(groups, width=32, depth=3, heads=HEADS, hidden=64)
    original.load_state_dict(torch.load(beta[0], weights_only=True))
    latents, times = [torch.randn(1, *g.shape) for g in groups], [torch.tensor([500.0])] * len(groups)
    with torch.inference_mode():
        for found, expected in zip(
            load_denoiser(item)(latents, times), original(latents, times), strict=True
        ):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_cop_gen_has_its_twelve_groups_and_ten_autoencoders(cop_gen):
    item = import_joint("cop-gen", *cop_gen, "cop-gen", HEADS)
    assert [group.name for group in item.groups] == sorted(group.name for group in item.groups)
    assert item.takes == (
        "position",
        "dem",
        "lulc",
        "s1_rtc",
        "s2_l1c",
        "cloud_mask",
        "s2_l2a",
        "date",
    )
    assert len(item.files) == 11
    assert (item.license, item.sampler.window_px) == ("CC-BY-4.0", 192)
    networks = load_networks(item)
    assert len(networks.codecs) == 10
    image = torch.zeros(1, 10, 192, 192)
    assert networks.codecs["LULC_LULC"].moments(image).shape == (1, 16, 24, 24)


def test_other_forms_of_the_files(tmp_path, beta, home):
    weights, autoencoder = beta
    checkpoint = saved(torch.load(weights, weights_only=True), tmp_path / "1500.ckpt" / "nnet_ema.pth")
    save_file(torch.load(autoencoder, weights_only=True), tmp_path / "autoencoder.safetensors")
    torch.save(
        torch.load(weights, weights_only=True), tmp_path / "old.pth", _use_new_zipfile_serialization=False
    )
    names = []
    for number, file in enumerate((checkpoint, checkpoint.parent, tmp_path / "old.pth")):
        item = import_joint("cop-gen-beta", file, tmp_path / "autoencoder.safetensors", f"b{number}", HEADS)
        names.append(item.sha256)
    assert len(set(names)) == 1


def test_half_precision_stays_half(tmp_path, beta):
    rewrite(beta[0], lambda s: s.update({name: tensor.half() for name, tensor in s.items()}))
    item = import_joint("cop-gen-beta", *beta, "beta", HEADS)
    assert {tensor.dtype for tensor in load_file(item.weights_path).values()} == {torch.float16}
    assert {p.dtype for p in load_denoiser(item).parameters()} == {torch.float32}


def test_tensors_that_share_memory_are_written_apart(beta):
    def share(state):
        flat = torch.cat([state["norm.weight"], state["norm.bias"]])
        state["norm.weight"], state["norm.bias"] = flat[:32], flat[32:]

    rewrite(beta[0], share)
    assert import_joint("cop-gen-beta", *beta, "beta", HEADS).id == "beta"


class RunsCode:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_with_code_is_refused_unread(tmp_path, home, beta, which, zipped):
    witness = tmp_path / "executed"
    torch.save({"pos_embed": RunsCode(witness)}, beta[which], _use_new_zipfile_serialization=zipped)
    message = refused(home, "refused unread", "cop-gen-beta", *beta)
    assert "mkdir" in message
    assert not witness.exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("which", [0, 1])
def test_truncated_file(home, beta, share, which):
    data = beta[which].read_bytes()
    beta[which].write_bytes(data[: int(share * len(data))])
    refused(home, "download it again", "cop-gen-beta", *beta)


def test_changed_bytes_are_found_by_the_checksums_inside_the_file(home, beta):
    data = bytearray(beta[0].read_bytes())
    data[len(data) // 2] ^= 0xFF
    beta[0].write_bytes(data)
    refused(home, "does not match its checksum", "cop-gen-beta", *beta)


def test_packed_archive_is_refused_unread(tmp_path, home, beta):
    plain = shutil.copy(beta[0], tmp_path / "plain.pth")
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(beta[0], "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    refused(home, "packed archive", "cop-gen-beta", *beta)


def test_web_page_in_place_of_weights(home, beta):
    beta[0].write_text("<!DOCTYPE html><html>Not found</html>")
    refused(home, "web page", "cop-gen-beta", *beta)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s.pop("norm.bias"), r"missing: norm\.bias"),
        (lambda s: s.update({"extra": torch.zeros(1)}), "unexpected: extra"),
        (lambda s: s.update({"norm.bias": torch.zeros(5)}), r"norm\.bias has \[5\] float32 where \[32\]"),
        (lambda s: s["norm.bias"].fill_(torch.nan), r"NaN or infinity in norm\.bias"),
        (lambda s: s.update(step=3), "holds int under 'step'"),
        (lambda s: s.update(a=torch.eye(2).to_sparse()), "sparse"),
        (lambda s: s.pop("pos_embed"), "not a COP-GEN denoiser"),
        (lambda s: s.pop("patch_embeds.1.proj.weight"), "not a COP-GEN denoiser"),
        (lambda s: s.update(pos_embed=torch.zeros(1, 4 + 4 * 15, 32)), "not as many equal squares"),
        (
            lambda s: s.update({"patch_embeds.2.proj.weight": torch.zeros(32, 8, 2, 2)}),
            "not as many equal squares",
        ),
    ],
)
def test_wrong_tensors_of_a_denoiser_are_named(home, beta, change, match):
    rewrite(beta[0], change)
    refused(home, match, "cop-gen-beta", *beta)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s.pop("decoder.conv_out.bias"), r"missing: decoder\.conv_out\.bias"),
        (lambda s: s.update(autoencoder_state(latent=8)), "latents of 8 channels .* 4 channels"),
        (lambda s: s.update(autoencoder_state(channels=1)), "images of 1 bands"),
        (lambda s: s["quant_conv.bias"].fill_(torch.inf), r"NaN or infinity in quant_conv\.bias"),
        (lambda s: s.clear(), "named tensors were expected"),
    ],
)
def test_autoencoder_that_does_not_fit(home, beta, change, match):
    rewrite(beta[1], change)
    refused(home, match, "cop-gen-beta", *beta)


def test_denoiser_and_autoencoder_swapped(home, beta):
    refused(home, "nnet_ema", "cop-gen-beta", *reversed(beta))


def test_family_of_another_model_is_suggested(home, beta, cop_gen):
    refused(home, "--family cop-gen it may fit", "cop-gen-beta", cop_gen[0], beta[1])
    refused(home, "--family cop-gen-beta it may fit", "cop-gen", beta[0], cop_gen[1])


def test_missing_files_are_named(tmp_path, home, beta, cop_gen):
    refused(home, "no weights file", "cop-gen-beta", tmp_path / "gone.pth", beta[1])
    refused(home, "no autoencoder file", "cop-gen-beta", beta[0], tmp_path)
    refused(home, "no folder of autoencoders", "cop-gen", *cop_gen[:1], beta[1])
    message = refused(home, "lacks 10 of", "cop-gen", cop_gen[0], tmp_path)
    assert all(path in message for path in autoencoder_files("cop-gen").values())


def test_groups_in_the_order_of_the_authors_list_are_refused(tmp_path, home, cop_gen):
    groups = latent_groups(published_groups("cop-gen"))
    state = cop_gen_state()
    listed = [groups[0], groups[-1], *groups[1:-1]]
    for i, group in enumerate(listed):
        state[f"patch_embeds.{i}.proj.weight"] = torch.zeros(32, group.channels, group.patch, group.patch)
    refused(home, "cannot be told apart", "cop-gen", saved(state, tmp_path / "n.pth"), cop_gen[1])


def test_heads_of_unknown_sizes_must_be_said(home, beta):
    refused(home, "--heads", "cop-gen-beta", *beta, heads=None)
    refused(home, "5 attention heads cannot share", "cop-gen-beta", *beta, heads=5)


@pytest.mark.parametrize(("width", "heads"), [(1152, 16), (1536, 24)])
def test_large_and_huge_have_their_own_heads(width, heads):
    with torch.device("meta"):
        state = cop_gen_state(width=width)
    assert recognise("cop-gen", state, "large")[1].heads == heads


def test_name_in_use_and_full_disk(tmp_path, beta, monkeypatch):
    item = import_joint("cop-gen-beta", *beta, "beta", HEADS)
    with pytest.raises(ModelError, match="installed already"):
        import_joint("cop-gen-beta", *beta, "beta", HEADS)
    assert import_joint("cop-gen-beta", *beta, "beta", HEADS, replace=True).sha256 == item.sha256
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match="make room"):
        import_joint("cop-gen-beta", *beta, "other", HEADS)
    assert [p.name for p in store.user_folder().iterdir()] == ["beta"]


_PEAK = """
import resource, sys
from pathlib import Path
import torch, diffusers, safetensors.torch, stac_model, pystac, jsonschema
from diffusers import AutoencoderKL
from engine.models.joint_import import import_joint
import engine.modalities.published, engine.translators.joint_networks

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

torch.set_num_threads(1)
before = peak()
import_joint("cop-gen-beta", Path(sys.argv[1]), Path(sys.argv[2]), "big", heads=8)
print(peak() - before)
"""


def test_memory_stays_below_three_times_the_file(tmp_path, beta):
    weights = saved(beta_state(side=32, width=512, depth=9), tmp_path / "big.pth")
    size = weights.stat().st_size
    assert size > 80e6
    made = subprocess.run(
        [sys.executable, "-c", _PEAK, weights, beta[1]], capture_output=True, text=True, check=True
    )
    assert int(made.stdout) < 3 * size
