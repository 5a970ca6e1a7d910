from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("diffusers", reason="needs the [diffusion] extra")
pytest.importorskip("lmdb", reason="needs the [train] extra")

from made_pairs import make_pair  # noqa: E402

from engine.modalities.encoders import encoder  # noqa: E402
from engine.models.joint_schema import Group  # noqa: E402
from engine.networks.cop_gen import CopGen, sinusoid  # noqa: E402
from training import codecs  # noqa: E402
from training.cli import CONFIGS  # noqa: E402
from training.datasets.decoys import DecoyModule  # noqa: E402
from training.datasets.joint_latents import encode, windows  # noqa: E402
from training.datasets.joint_scenes import Scene, scene  # noqa: E402
from training.datasets.latent_store import open_store  # noqa: E402
from training.datasets.latents import Drawing  # noqa: E402
from training.groups import groups_of  # noqa: E402
from training.tasks.alignment import aligned_denoiser, places  # noqa: E402
from training.tasks.autoencoder import new_autoencoder  # noqa: E402
from training.tasks.joint_diffusion import JointDiffusionTask, Optimisation  # noqa: E402

torch.set_num_threads(1)
GROUPS = CONFIGS / "groups" / "any_to_any.json"


def coded_groups() -> tuple[Group, ...]:
    """The bundled groups, radar through an autoencoder."""
    groups = json.loads(GROUPS.read_text())
    radar = next(group for group in groups if group["name"] == "s1")
    radar["latent"] = {"channels": 8, "height": 32, "width": 32, "patch": 4, "autoencoder": "radar"}
    radar["pixel"] = 1
    return groups_of(groups)


def scenes() -> list[Scene]:
    here = [scene(make_pair(i, size=256, dem=False)) for i in range(3)]
    there = scene(make_pair(7, size=128, location="hills"))
    return [*here, Scene("hills/0", "hills", {"dem": there.layers["dem"]})]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Latents of the scenes by autoencoders with random weights."""
    folder = tmp_path_factory.mktemp("any")
    network = new_autoencoder(1, (32, 32), 1, 8, 0.0, 0.3)
    run = folder / "runs" / "kl-s1"
    run.mkdir(parents=True)
    codecs._saved(codecs.published(network), run / codecs.AUTOENCODER_NAME, {"scale": "0.5"})
    encode(scenes(), coded_groups(), folder / "runs", folder / "store", 64)
    return folder / "store"


def test_every_window_is_stored_with_the_groups_that_it_has(store):
    opened = open_store(store)
    expected = {key: set(images) for key, images in windows(scenes(), 64)}
    assert {key: set(opened.read(key)) for key in opened.keys} == expected
    assert {group.name: group.latent.scale for group in opened.info.groups} == {
        "dem": 1.0,
        "lulc": 1.0,
        "s1": 0.5,
        "s2": 1.0,
    }


def test_groups_without_autoencoder_hold_what_the_encoder_makes(store):
    group = next(group for group in groups_of(str(GROUPS)) if group.name == "lulc")
    pair = make_pair(0, size=256, dem=False)
    codes = (np.where(pair.mask == 255, 0, pair.mask + 1)[:64:2, :64:2])[None].astype(np.float32)
    truth = encoder(group).encode(codes, np.ones(codes.shape[1:], bool), {})
    values, log_variance = np.split(open_store(store).read("here.here-0_0")["lulc"], 2)
    np.testing.assert_array_equal(values, truth)
    assert (log_variance == -30).all()


@pytest.mark.parametrize(("name", "raw"), [("s2", "optical"), ("s1", "sar"), ("dem", "elevation")])
def test_layers_are_what_the_encoders_of_the_package_make(name, raw):
    group = next(group for group in groups_of(str(GROUPS)) if group.name == name)
    pair, made = make_pair(2, size=128), encoder(group)
    values = {"optical": pair.optical * 10_000, "sar": pair.sar["VV"][None], "elevation": None}[raw]
    values = pair.elevation[None] if values is None else values
    valid = np.ones(values.shape[1:], bool)
    encoded = made.encode(values.astype(np.float32), valid, made.statistics([(values, valid)]))
    np.testing.assert_allclose(scene(pair).layers[name][0], encoded, atol=2e-3)
    if name == "s2":
        np.testing.assert_allclose(made.decode(encoded), pair.optical, atol=1e-5)


def module(store: Path, chance: float) -> DecoyModule:
    made = DecoyModule(
        "dem", ["hills.*"], chance, store=str(store), groups=str(store), drawing=Drawing(1, 4, 5, 1, 0.3, 0.2)
    )
    made.setup()
    return made


def test_decoys_are_clean_and_never_learnt(store):
    plain, decoyed = module(store, 0.0).train_dataloader(), module(store, 1.0).train_dataloader()
    found = 0
    for number in range(30):
        before, after = plain.dataset[number], decoyed.dataset[number]
        if before["time"][0] == 1000 and before["learnt"][0] == 0:
            found += 1
            assert after["time"][0] == 0
            assert after["learnt"][0] == 0
            assert after["latent"]["dem"].abs().max() > 0
        else:
            assert torch.equal(after["time"], before["time"])
        assert torch.equal(after["latent"]["s2"], before["latent"]["s2"])
        assert torch.equal(after["time"][1:], before["time"][1:])
        assert torch.equal(decoyed.dataset[number]["latent"]["dem"], after["latent"]["dem"])
    assert found > 10


def network() -> CopGen:
    torch.manual_seed(0)
    return aligned_denoiser(str(GROUPS), 192, 3, 3)


def test_the_same_place_has_the_same_position_in_every_group():
    made = network()
    by_group = made.pos_embed[0, 4:, :60].split([group.tokens for group in made.groups])
    assert torch.equal(by_group[2], by_group[3])
    assert torch.equal(by_group[0], by_group[1])


def test_coarse_positions_lie_between_fine_ones():
    fine, coarse = places(8, 8, 64).view(8, 8, 64), places(4, 4, 64).view(4, 4, 64)
    distance = (fine - coarse[1, 2]).norm(dim=2)
    nearest = distance.flatten().topk(4, largest=False).indices
    assert {(int(i) // 8, int(i) % 8) for i in nearest} == {(2, 4), (2, 5), (3, 4), (3, 5)}


def test_before_training_a_token_hears_most_from_its_own_place_in_other_groups():
    made = network()
    latents = [torch.zeros(1, *group.shape) for group in made.groups]
    tokens = torch.cat(
        [torch.zeros(1, 4, 192), *(e(x) for e, x in zip(made.patch_embeds, latents, strict=True))], dim=1
    )
    tokens = tokens + made.pos_embed
    start = 4 + made.groups[0].tokens + made.groups[1].tokens
    place, heard = 27, []
    for other in range(64):
        changed = tokens.clone()
        changed[0, start + other, 64:] += 1
        difference = made.in_blocks[0].attn(changed) - made.in_blocks[0].attn(tokens)
        heard.append(float(difference[0, start + 64 + place].norm().detach()))
    assert max(range(64), key=heard.__getitem__) == place


def test_before_training_a_token_hears_the_time_of_its_own_group():
    made = network()
    latents = [torch.zeros(1, *group.shape) for group in made.groups]
    squares = [e(x) for e, x in zip(made.patch_embeds, latents, strict=True)]
    heard = []
    for changed in range(4):
        times = [sinusoid(torch.full((1,), 900.0 if i == changed else 100.0), 192) for i in range(4)]
        tokens = torch.cat([torch.stack(times, dim=1), *squares], dim=1) + made.pos_embed
        heard.append(made.in_blocks[0].attn(tokens)[0, -1])
    unchanged = heard[0]
    assert (heard[3] - unchanged).norm() > 3 * (heard[1] - unchanged).norm()


def test_tokens_say_where_and_what_in_numbers_of_their_own():
    made = network()
    for embed in made.patch_embeds:
        assert embed.proj.weight[:64].abs().max() == 0
        assert embed.proj.bias[:64].abs().max() == 0


@pytest.mark.parametrize("pure", [False, True])
def test_where_sampling_starts_a_group_may_be_noise_alone(pure):
    made = network()
    task = JointDiffusionTask(made, Optimisation(), "data", pure_start=pure)
    values = {kind: {g.name: torch.randn(2, *g.shape) for g in made.groups} for kind in ("latent", "noise")}
    times = torch.tensor([[1000, 999, 1000, 1000], [0, 1000, 500, 1000]])
    states, _ = task.noisy({**values, "time": times, "learnt": torch.ones(2, 4)})
    for i, (group, state) in enumerate(zip(made.groups, states, strict=True)):
        for row in range(2):
            is_noise = torch.equal(state[row], values["noise"][group.name][row])
            assert is_noise == (pure and times[row, i] == 1000)
