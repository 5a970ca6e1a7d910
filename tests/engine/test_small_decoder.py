from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the [diffusion] extra")

from engine.errors import ModelError  # noqa: E402
from engine.networks.small_decoder import SmallDecoder, small_decoder_from_tensors  # noqa: E402

torch.set_num_threads(1)


def decoder(blocks: tuple[int, ...] = (1, 1, 0, 1)) -> SmallDecoder:
    torch.manual_seed(0)
    return SmallDecoder(4, 3, (16, 12, 8, 8), blocks).double().eval()


@pytest.mark.parametrize("blocks", [(1, 1, 0, 1), (2, 0, 1, 2), (0, 0, 0, 0)])
def test_pixels_depend_on_the_cells_within_the_halo_and_on_no_other(blocks):
    network = decoder(blocks)
    halo, factor = network.halo, network.factor
    side = 2 * halo + 5
    latent = torch.randn(1, 4, side, side, dtype=torch.float64)
    middle = slice((side // 2) * factor, (side // 2 + 1) * factor)

    def changed_by(distance: int) -> bool:
        other = latent.clone()
        far = torch.ones(side, side, dtype=torch.bool)
        inner = slice(side // 2 - distance + 1, side // 2 + distance)
        far[inner, inner] = False
        other[..., far] += 100
        with torch.no_grad():
            before, after = network(latent), network(other)
        return not torch.equal(before[..., middle, middle], after[..., middle, middle])

    assert not changed_by(halo + 1)
    assert changed_by(max(1, halo - 1))


def test_parts_with_their_halo_join_to_the_whole():
    network = decoder()
    halo, factor = network.halo, network.factor
    latent = torch.randn(1, 4, 8 + 2 * halo, 8 + 2 * halo, dtype=torch.float64)
    inside = slice(halo * factor, (halo + 4) * factor)
    with torch.no_grad():
        whole = network(latent)[..., inside, inside]
        part = network(latent[..., : 4 + 2 * halo, : 4 + 2 * halo])[..., inside, inside]
    torch.testing.assert_close(part, whole, rtol=0, atol=1e-12)


def test_weights_in_half_precision_come_back_with_their_sizes():
    network = decoder((2, 1, 1, 0))
    read = small_decoder_from_tensors({n: t.half() for n, t in network.state_dict().items()}, "file")
    assert read.halo == network.halo
    assert read.leave.weight.dtype == torch.float32
    latent = torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(read(latent), network(latent.double()).float(), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop("leave.weight"), "leave.weight"),
        (lambda t: t.pop("enter.1.bias"), "enter.1.bias"),
        (lambda t: t.update({"other": torch.zeros(1)}), "other"),
        (lambda t: t.clear(), "enter.0.weight"),
    ],
)
def test_weights_of_something_else_are_named(change, named):
    tensors = dict(decoder().state_dict())
    change(tensors)
    with pytest.raises(ModelError, match=named):
        small_decoder_from_tensors(tensors, "file")
