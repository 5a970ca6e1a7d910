"""What makes trainings on a CPU faster changes neither what they learn nor the process for others."""

from __future__ import annotations

import platform

import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("lightning", reason="needs the [train] extra")

from engine.networks.cop_gen import CopGen, LatentGroup  # noqa: E402
from training.memory import keep_freed_memory  # noqa: E402
from training.tasks.joint_diffusion import JointDiffusionTask, Optimisation, attention_kernels  # noqa: E402

GROUPS = (LatentGroup("dem", 1, 8, 8), LatentGroup("s2", 3, 8, 8))


def batch() -> dict:
    made = torch.Generator().manual_seed(0)
    values = {
        kind: {g.name: torch.randn(2, *g.shape, generator=made) for g in GROUPS}
        for kind in ("latent", "noise")
    }
    return {**values, "time": torch.tensor([[0, 700], [1000, 30]]), "learnt": torch.ones(2, 2)}


def gradients(attention: str) -> tuple[float, list]:
    torch.manual_seed(0)
    network = CopGen(GROUPS, width=32, depth=3, heads=4, hidden=64)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    task = JointDiffusionTask(network, Optimisation(), attention=attention)
    with attention_kernels(attention):
        loss = task.losses(network, batch()).sum()
    loss.backward()
    return float(loss.detach()), [parameter.grad for parameter in network.parameters()]


def test_plain_attention_learns_the_same():
    (fused, expected), (plain, found) = gradients("fused"), gradients("plain")
    assert plain == pytest.approx(fused, rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_plain_attention_is_of_its_block_alone():
    query = torch.randn(1, 2, 8, 16, requires_grad=True)

    def backward_of_attention() -> str:
        return torch.nn.functional.scaled_dot_product_attention(query, query, query).grad_fn.name()

    before = backward_of_attention()
    with attention_kernels("plain"):
        assert backward_of_attention() != before
    assert backward_of_attention() == before
    assert not torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_glibc_keeps_freed_memory():
    assert keep_freed_memory()
