"""Packages of the family joint-diffusion: what is loaded, what contradicts itself, and the commands."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")
pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")

from joint_packages import HEADS, autoencoder_state, beta_files, beta_package  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from engine.cli_models import app  # noqa: E402
from engine.errors import ModelError  # noqa: E402
from engine.models.item import ModelItem  # noqa: E402
from engine.models.verify import verify  # noqa: E402
from engine.models.weights import sha256_file  # noqa: E402
from engine.networks.small_decoder import SmallDecoder  # noqa: E402
from engine.translators.joint_networks import load_networks  # noqa: E402


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EO_TRANSLATE_MODELS", raising=False)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder / "home"))
        return beta_package(folder).folder


@pytest.fixture
def item(made_once, tmp_path):
    """A copy that may be spoilt."""
    return ModelItem.load(shutil.copytree(made_once, tmp_path / made_once.name))


def test_only_the_networks_asked_for_are_loaded(item):
    networks = load_networks(item, ["dem", "s2_l2a"])
    assert sorted(networks.codecs) == ["dem", "s2_l2a"]
    assert networks.codecs["dem"].autoencoder is networks.codecs["s2_l2a"].autoencoder
    assert load_networks(item, denoiser=False).denoiser is None
    item.asset("autoencoder").unlink()
    assert load_networks(item, groups=()).denoiser is not None
    with pytest.raises(ModelError, match="install the model again"):
        load_networks(item, ["dem"])


def test_others_may_read_a_package_as_far_as_the_system_lets_them(tmp_path):
    item = beta_package(tmp_path)
    assert len({path.stat().st_mode for path in (item.folder / "item.json", *item.files)}) == 1


def test_weights_changed_after_the_import_are_found(item):
    save_file(autoencoder_state(seed=1), item.asset("autoencoder"))
    with pytest.raises(ModelError, match="damaged or was changed"):
        verify(item.folder)


def edited(item, change):
    path = item.folder / "item.json"
    document = json.loads(path.read_text())
    change(document["properties"], document["assets"])
    path.write_text(json.dumps(document))
    return item.folder


def _latent(number, **fields):
    return lambda p, a: p["eo_translate:groups"][number]["latent"].update(fields)


def _sampler(**fields):
    return lambda p, a: p["eo_translate:sampler"].update(fields)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_latent(1, autoencoder="gone"), "s1_rtc names the asset gone, which is not there"),
        (_latent(0, channels=5), "mlm:input says"),
        (_latent(0, height=7), "no multiple of its patch"),
        (_latent(0, height=6), "must be square"),
        (_latent(0, scale=0.0), "greater than 0"),
        (_sampler(window_px=60), "no multiple of the latent of dem"),
        (_sampler(stride_px=44), "no multiple of a latent cell"),
        (_sampler(stride_px=16), "half of window_px"),
        (_sampler(steps=1), "stages must be at most steps"),
        (_sampler(solver="multistep", prediction="flow"), "path of flow matching"),
        (_sampler(heads=3), "3 attention heads cannot share"),
        (_sampler(solver="euler"), "singlestep"),
        (lambda p, a: p["eo_translate:groups"][1].update(name="dem"), "has one twice"),
        (lambda p, a: p["eo_translate:groups"][1].update(bands=[]), "takes at least one"),
        (lambda p, a: p["eo_translate:groups"][1]["encoding"].update(kind="magic"), "encoding"),
        (lambda p, a: p["eo_translate:groups"].pop(), "mlm|patch_embeds|does not fit"),
        (lambda p, a: p.update({"eo_translate:groups": []}), "at least 1"),
        (lambda p, a: p.update({"eo_translate:network": "aras400k-spade"}), "cop-gen"),
        (lambda p, a: p.update({"eo_translate:family": "diffusion"}), "joint-diffusion"),
        (lambda p, a: p.update({"eo_translate:inputs": []}), "no field eo_translate:inputs"),
        (lambda p, a: a.pop("autoencoder"), "names the asset autoencoder, which is not there"),
        (lambda p, a: a["autoencoder"].update(href="autoencoder.pth"), "can run code"),
        (lambda p, a: a["autoencoder"].update(href="model.safetensors"), "same file"),
    ],
)
def test_item_that_contradicts_itself(item, change, match):
    folder = edited(item, change)
    with pytest.raises(ModelError, match=match) as caught:
        verify(folder)
    assert "\n" not in str(caught.value)


def test_autoencoder_of_another_model_in_the_package(item):

    def swap(properties, assets):
        assets["model"]["href"], assets["autoencoder"]["href"] = (
            "autoencoder.safetensors",
            "model.safetensors",
        )
        for field in ("file:size", "file:checksum"):
            model, other = assets["model"], assets["autoencoder"]
            model[field], other[field] = other[field], model[field]

    with pytest.raises(ModelError, match="not a KL autoencoder"):
        verify(edited(item, swap))


def command(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def with_decoder(item, **sizes):
    """The package with a small decoder for dem."""
    network = SmallDecoder(**{"latent": 4, "channels": 3, "widths": (8,) * 4, "blocks": (1,) * 4} | sizes)
    path = item.folder / "small.safetensors"
    save_file(network.state_dict(), path)
    asset = {"href": path.name, "file:size": path.stat().st_size, "file:checksum": "1220" + sha256_file(path)}

    def name_it(properties, assets):
        assets["small"] = asset
        properties["eo_translate:groups"][0]["latent"]["decoder"] = "small"

    return ModelItem.load(edited(item, name_it)), network.eval()


def test_small_decoder_decodes_its_group_alone(item):
    item, network = with_decoder(item)
    verify(item.folder)
    codecs = load_networks(item, ["dem", "s1_rtc"], denoiser=False).codecs
    assert codecs["dem"].autoencoder is codecs["s1_rtc"].autoencoder
    latent = torch.randn(1, 4, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(codecs["dem"].decode(latent), network(latent), rtol=0, atol=1e-6)
    assert not torch.allclose(codecs["s1_rtc"].decode(latent), codecs["dem"].decode(latent))


@pytest.mark.parametrize("sizes", [{"latent": 8}, {"channels": 1}, {"widths": (8,) * 3, "blocks": (1,) * 3}])
def test_small_decoder_that_does_not_fit(item, sizes):
    item, _ = with_decoder(item, **sizes)
    with pytest.raises(ModelError, match="does not fit the group dem"):
        verify(item.folder)


def test_commands(tmp_path):
    weights, autoencoder = beta_files(tmp_path)
    made = command(
        *("import", "--family", "cop-gen-beta", "--weights", weights, "--autoencoder", autoencoder),
        *("--heads", HEADS, "--license", "CC-BY-4.0", "mine"),
    )
    assert made.exit_code == 0, made.output
    assert "display values" in made.stdout
    assert "valid" in command("verify", "mine").stdout
    shown = json.loads(command("show", "mine", "--json").stdout)
    assert shown["license"] == "CC-BY-4.0"
    assert [group["name"] for group in shown["groups"]] == ["dem", "s1_rtc", "s2_l1c", "s2_l2a"]
    (listed,) = (e for e in json.loads(command("list", "--json").stdout) if e["name"] == "mine")
    assert listed["inputs"][0] == {"modality": "dem", "required": False}
    assert "1.6 MB" in command("list").stdout  # the autoencoder's file counts
    assert command("remove", "mine").exit_code == 0
    assert command("show", "mine").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("--family", "cop-gen-beta", "x"), "either --weights or --hub"),
        (("--family", "cop-gen-beta", "--weights", "w", "x"), "either --autoencoder or --hub-autoencoder"),
        (("--family", "cop-gen", "--weights", "w", "x"), "either --autoencoders or --hub-autoencoder"),
        (("--family", "cop-gen", "--weights", "w", "--autoencoder", "a", "x"), "does not go with"),
        (("--family", "cop-gen", "--weights", "w", "--hub", "o/n", "x"), "either --weights or --hub"),
        (("--family", "cop-gen", "--hub", "o/n", "x"), "--hub and --revision go together"),
        (("--family", "cop-gen-beta", "--weights", "w", "--revision", "r", "x"), "go together"),
        (("--family", "aras400k", "x"), "--weights FILE"),
        (("--family", "aras400k", "--weights", "w", "--heads", "3", "x"), "--heads does not go with"),
        (("--family", "magic", "--weights", "w", "x"), "known are aras400k, cop-gen-beta, cop-gen"),
        (("--family", "cop-gen", "--weights", "w", "x", "y"), "new name alone"),
        (("--heads", "3", "a.onnx", "x"), "goes with --family"),
    ],
)
def test_options_that_do_not_go_together(arguments, match):
    result = command("import", *arguments)
    assert result.exit_code == 1
    assert match in result.stderr
    assert result.stderr.count("\n") == 1
