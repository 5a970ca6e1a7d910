"""COP-GEN-Beta at its published size: how long its import takes, how much memory, and a run on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from common import ROOT, Bench, Row, scene

SECONDS_BAR, MEMORY_BAR = "< 60", "< 3"
NAME, STEPS = "published-size", 2

# Random weights under the published names: the sizes decide, not the values.
_WRITE = """
import sys
import torch
from engine.networks.cop_gen import CopGen
from engine.networks.cop_gen_published import COP_GEN_BETA
from engine.networks.kl_autoencoder import empty_autoencoder, published_layout
weights, autoencoder, width, depth = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
groups = [group.latent for group in COP_GEN_BETA]
torch.save(CopGen(groups, width, depth, hidden=4 * width).state_dict(), weights)
layout = published_layout(empty_autoencoder(3, (128, 256, 512, 512), 2, 4))
torch.save({name: 0.02 * torch.randn(shape) for name, (_, shape) in layout.items()}, autoencoder)
"""

_TILE = """
import json, sys, time
import torch
from engine.models.store import find
from engine.translators.joint_networks import load_networks
item = find(sys.argv[1])
started = time.perf_counter()
networks = load_networks(item, ["dem"])
loading = time.perf_counter() - started
codec, network = networks.codecs["dem"], networks.denoiser

def timed(call):
    started = time.perf_counter()
    with torch.inference_mode():
        made = call()
    return made, time.perf_counter() - started

side = item.sampler.window_px
moments, encoding = timed(lambda: codec.moments(torch.rand(1, 3, side, side)))
latents = [torch.randn(1, *group.shape) for group in network.groups]
times = [torch.tensor([500.0])] * len(latents)
evaluations = [timed(lambda: network(latents, times))[1] for _ in range(3)]
_, decoding = timed(lambda: codec.decode(codec.latent(moments)))
print(json.dumps({
    "loading_s": loading, "encoding_s": encoding, "decoding_s": decoding, "evaluations_s": evaluations,
    "threads": torch.get_num_threads(), "parameters": item.total_parameters, "window_px": side,
}))
"""


def measure(bench: Bench) -> list[Row]:
    """The commands themselves in processes of their own, and the parts of one window."""
    weights, autoencoder = bench.scratch / "nnet_ema_114000.pth", bench.scratch / "autoencoder_kl_ema.pth"
    width, depth = (256, 5) if bench.quick else (1024, 20)
    place = {**os.environ, "XDG_DATA_HOME": str(bench.scratch / "home")}
    _python(place, "-c", _WRITE, weights, autoencoder, width, depth)
    size = weights.stat().st_size
    given = ["--weights", weights, "--autoencoder", autoencoder, "--heads", 16]
    seconds, peak = _command(place, "models", "import", "--family", "cop-gen-beta", *given, NAME)
    detail = {"file_bytes": size, "autoencoder_bytes": autoencoder.stat().st_size, "peak_bytes": peak}
    tile = json.loads(_python(place, "-c", _TILE, NAME))
    run_s, run_peak = _command(place, "run", *_scene_job(bench, tile["window_px"]))
    what = f"{tile['parameters'] / 1e6:.0f} M parameters, {size / 1e9:.2f} GB"
    return [
        Row(f"models import, {what}", seconds, "s", SECONDS_BAR, detail),
        Row("models import: peak memory / size of the denoiser's file", peak / size, "", MEMORY_BAR, detail),
        Row(
            f"one evaluation of the denoiser, {tile['window_px']} px, float32",
            min(tile["evaluations_s"]),
            "s",
            "",
            tile,
        ),
        Row(f"one autoencoder: encode {tile['window_px']} px", tile["encoding_s"], "s"),
        Row(f"one autoencoder: decode {tile['window_px']} px", tile["decoding_s"], "s"),
        Row(
            f"eo-translate run, dem to s2_l2a, one tile of {tile['window_px']} px, {STEPS} steps",
            run_s,
            "s",
        ),
        Row("eo-translate run: peak memory", run_peak / 1e9, "GB"),
    ]


def _scene_job(bench: Bench, side: int) -> list[object]:
    """Options of a run over one window."""
    place = ["--model", NAME, "--input", f"dem={scene(bench.scratch, side)['dem']}", "--generate", "s2_l2a"]
    return [
        *place,
        "--steps",
        STEPS,
        "--stages",
        1,
        "--anchor",
        "scene",
        "--device",
        "cpu",
        "--output",
        bench.scratch / "tile.tif",
    ]


def _command(place: dict[str, str], *arguments: object) -> tuple[float, int]:
    """Wall seconds and peak bytes of ``eo-translate ARGUMENTS``, start of Python included."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.cli", *map(str, arguments)],
        cwd=ROOT,
        env=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"eo-translate {arguments[0]} failed: {message[-2000:]}")
    return time.perf_counter() - started, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _python(place: dict[str, str], *arguments: object) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=place, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"A process of the benchmark failed: {done.stderr[-2000:]}")
    return done.stdout
