"""What is fuzzed: each target makes one mutated case and puts it through the door that users use."""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import shutil
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import mutations
import numpy as np
import onnx
import rasterio
import tiny_models
from model_packages import local_graph
from rasters import sar_values
from rasters import write as write_raster

from engine import cli, worker
from engine.models import store
from engine.models.onnx_import import import_onnx
from engine.models.onnx_item import OnnxOptions
from engine.models.verify import verify
from engine.raster.bands import BandList
from engine.raster.grid import target_grid
from engine.raster.source import Source, gdal_environment, open_raster
from engine.spec import InputRaster
from engine.tiling.lattice import Box

_MAX_SENTENCE = 4000
SHARES = {"item": 0.25, "onnx": 0.20, "geotiff": 0.20, "job": 0.15, "protocol": 0.10, "joint": 0.10}


class Finding(Exception):
    """Something that must not be."""


class Target:
    """One kind of input.

    Attributes:
        only_package: Nothing but the case's own folder may be read.
    """

    only_package = False

    def __init__(self, seeds):
        """Args:
        seeds: Folder with the valid files that cases start from.
        """
        self.seeds = seeds

    def run(self, rng, folder):
        """Makes a case in ``folder`` and runs it; whether it was accepted.

        Raises:
            EOTranslateError: It was refused.
        """
        raise NotImplementedError


class Item(Target):
    """Model packages: item.json, the files beside it, and the zip around them."""

    only_package = True

    def run(self, rng, folder):
        package = folder / "package" / "tiny"
        shutil.copytree(self.seeds / rng.choice(("sar", "mask", "plain")), package)
        item = json.loads((package / "item.json").read_bytes())
        kind = rng.choice(("json", "json", "json", "files", "weights"))
        if kind == "files":
            _mutate_files(rng, package, item)
        elif kind == "weights":
            self._mutate_weights(rng, package, item)
        text = mutations.json_text(rng, item) if kind == "json" else json.dumps(item).encode()
        if (package / "item.json").is_file() and not (package / "item.json").is_symlink():
            (package / "item.json").write_bytes(text)
        door = rng.choice(("install", "zip", "find", "list"))
        if door == "list":
            os.environ["EO_TRANSLATE_MODELS"] = str(package.parent)
            (entry,) = [entry for entry in store.entries() if entry.origin == "environment"] or [None]
            if entry is not None and entry.problem is not None:
                check_sentence(entry.problem)
            return entry is not None and entry.problem is None
        if door == "find":
            verify(store.find(package).folder)
        else:
            store.install(package if door == "install" else _zip(rng, package, folder))
        return True

    def _mutate_weights(self, rng, package, item):
        """Changed weights that the item vouches for: only the graph itself can tell."""
        data = mutated_graph(rng, (package / "model.onnx").read_bytes())
        (package / "model.onnx").write_bytes(data)
        item["assets"]["model"]["file:size"] = len(data)
        item["assets"]["model"]["file:checksum"] = "1220" + sha256(data).hexdigest()


class Onnx(Target):
    """ONNX files of others."""

    only_package = True

    def run(self, rng, folder):
        source = folder / "package"
        source.mkdir()
        name = rng.choice(("fixed", "fixed", "fixed", "deepness", "external", "free"))
        data = (self.seeds / "onnx" / f"{name}.onnx").read_bytes()
        (source / "weights.bin").write_bytes((self.seeds / "onnx" / "weights.bin").read_bytes())
        (source / "net.onnx").write_bytes(mutated_graph(rng, data))
        options = OnnxOptions(output_range=(0.0, 1.0), output_dtype="uint8") if rng.random() < 0.3 else None
        import_onnx(source / "net.onnx", "net", options)
        return True


class GeoTiff(Target):
    """Rasters with damaged or lying headers."""

    def run(self, rng, folder):
        path = folder / "scene.tif"
        if rng.random() < 0.2:
            return self._small_commands(rng, path, folder)
        name = rng.choice(("classic", "tiled", "big", "palette", "strips", "geographic"))
        path.write_bytes(mutations.tiff(rng, (self.seeds / "tiff" / f"{name}.tif").read_bytes()))
        with gdal_environment(), contextlib.closing(open_raster(str(path), "sar")) as dataset:
            numbers = BandList([dataset]).measured[:3]
            if not numbers:
                return True
            layer = target_grid(dataset, *rng.choice(((None, None), (None, 25.0), ("EPSG:3857", None))))
            source = Source("sar", InputRaster(path=str(path)), dataset, numbers, tuple(range(len(numbers))))
            try:
                source.align(layer, classes=rng.random() < 0.5)
                row, col = rng.choice(((0, 0), (layer.height // 2, layer.width // 2), (-40, -40)))
                source.sample()
                source.read(Box(row, col, 96, 96))
                source.overlaps(layer, Box(0, 0, 1, 1))
                layer.gsd_m()
            finally:
                source.close()
        return True

    def _small_commands(self, rng, path, folder):
        """The commands that read any raster, on results with changed tags, headers or both."""
        shutil.copy(self.seeds / "tiff" / "result.tif", path)
        kind = rng.choice(("tags", "header", "both"))
        if kind != "header":
            tags = {
                "STATISTICS": {"sar": {"VV": [-12.0, 3.0], "VH": [-18.0, 3.0]}},
                "DISPLAY": [1.0, 200.0],
                "TILING": {"mode": "crop", "window_px": 64, "halo_px": 8, "world_origin_px": [0, 0]},
            }
            texts = {key: mutations.json_text(rng, value)[:20_000] for key, value in tags.items()}
            with rasterio.open(path, "r+") as dataset:
                readable = {k: v.decode("utf-8", "replace").replace("\0", "") for k, v in texts.items()}
                dataset.update_tags(ns="EO_TRANSLATE", **readable)
        if kind != "tags":
            path.write_bytes(mutations.tiff(rng, path.read_bytes()))
        given = ["--model", str(self.seeds / "sar"), "--input", f"sar={self.seeds / 'sar.tif'}"]
        commands = (
            ["quicklook", str(path), str(folder / "out.png")],
            ["seams", str(path), "--json"],
            ["run", *given, "--statistics", f"sar={path}", "--output", str(folder / "out.tif")],
        )
        return run_program(rng.choice(commands), folder)


class Job(Target):
    """Job files, with the packages and rasters that they name, through ``eo-translate run``."""

    def run(self, rng, folder):
        job = self._job(rng, folder)
        kind = rng.random()
        if kind < 0.15:
            path = folder / "scene.tif"
            path.write_bytes(mutations.tiff(rng, path.read_bytes()))
        elif kind < 0.40:
            item = folder / "tiny" / "item.json"
            item.write_bytes(_changed_numbers(rng, item.read_bytes()))
        text = mutations.json_text(rng, job) if kind >= 0.40 else json.dumps(job).encode()
        (folder / "job.json").write_bytes(text)
        arguments = ["run", str(folder / "job.json"), *(["--json"] if rng.random() < 0.5 else [])]
        return run_program(arguments, folder)

    def _job(self, rng, folder):
        kind = rng.choice(("sar", "sar", "mask"))
        shutil.copytree(self.seeds / kind, folder / "tiny")
        shutil.copy(self.seeds / f"{kind}.tif", folder / "scene.tif")
        given = {"path": str(folder / "scene.tif")}
        if kind == "sar":
            given |= {"bands": [1, 2], "units": "db", "nodata": -9999.0, "scale": 1.0, "offset": 0.0}
            given |= {"statistics": {"VV": [-12.0, 3.0], "VH": [-18.0, 3.0]}}
        else:
            given |= {"legend": {"0": "water", "1": "trees", "2": "grass_crops", "3": "built"}}
        return {
            "model": str(folder / "tiny"),
            "inputs": {kind: given},
            "output": str(folder / "out.tif"),
            "uncertainty": str(folder / "spread.tif"),
            "samples": 2,
            "seed": 1,
            "extent": [500_000.0, 4_999_500.0, 500_300.0, 5_000_000.0],
            "extent_crs": "EPSG:32633",
            "crs": rng.choice(("EPSG:32633", "EPSG:4326")),
            **({"resolution": 20.0} if rng.random() < 0.2 else {}),
            "device": "auto",
            "precision": "float32",
            "format": "gtiff",
            "creation_options": {"COMPRESS": "DEFLATE"},
            "threads": 1,
        }


class Protocol(Job):
    """Lines of a front end to the worker."""

    def run(self, rng, folder):
        job = self._job(rng, folder)
        requests = [
            {"id": 1, "type": "hello"},
            {"id": "two", "type": "describe_model", "model": str(folder / "tiny")},
            {"id": 3, "type": "run", "job": job},
            {"id": 4, "type": "cancel", "target": 3},
        ]
        with open(folder / "events", "wb") as stream, contextlib.redirect_stderr(io.StringIO()) as log:
            server = worker.Worker(worker.EventStream(stream.fileno()))
            for request in rng.sample(requests, rng.choice((1, 1, 2, 3))):
                for line in mutations.json_text(rng, request).split(b"\n"):
                    if line.strip():
                        server.accept(line)
            # What ``Worker.serve`` does, without waiting for more.
            with contextlib.suppress(queue.Empty):
                while (request := server._requests.get_nowait()) is not None:
                    server._execute(request)
        return _check_events((folder / "events").read_bytes(), log.getvalue())


def _joint(seeds):
    from joint_targets import Joint  # brings torch, which the others can do without

    return Joint(seeds)


TARGETS = {
    "item": Item,
    "onnx": Onnx,
    "geotiff": GeoTiff,
    "job": Job,
    "protocol": Protocol,
    "joint": _joint,
}


def write_seeds(seeds):
    """The valid files that all cases start from."""
    for name, inputs in (
        ("sar", (tiny_models.SAR_INPUT, tiny_models.DEM_INPUT)),
        ("mask", (tiny_models.MASK_INPUT,)),
    ):
        made = tiny_models.package(seeds, name, inputs=inputs, noise=(1, 4) if name == "sar" else None)
        item = json.loads((Path(made) / "item.json").read_text())
        item["id"] = "tiny"
        item["properties"]["eo_translate:sample_statistics"] = {"sar": {"VV": {"mean": -10.0, "std": 3.0}}}
        (Path(made) / "item.json").write_text(json.dumps(item))
    shutil.copytree(seeds / "sar", seeds / "plain")
    write_raster(seeds / "sar.tif", sar_values(70, 60), names=("VV", "VH"), nodata=-9999.0)
    write_raster(seeds / "mask.tif", np.random.default_rng(0).integers(0, 4, (1, 70, 60)).astype(np.uint8))
    _write_graphs(seeds / "onnx")
    _write_tiffs(seeds / "tiff")


def _write_graphs(folder):
    folder.mkdir()
    deepness = {"model_type": "Regressor", "resolution": "10", "tiles_size": "32", "tiles_overlap": "10"}
    deepness |= {"standardization_mean": "[0.4, 0.4, 0.4]", "class_names": '{"0": "a", "1": "b", "2": "c"}'}
    local_graph(folder / "fixed.onnx", fixed=32)
    local_graph(folder / "deepness.onnx", fixed=32, metadata=deepness)
    local_graph(folder / "external.onnx", fixed=32, external="weights.bin")
    local_graph(folder / "free.onnx", layers=1, channels=1)


def _write_tiffs(folder):
    folder.mkdir()
    values = sar_values(50, 60)
    write_raster(folder / "classic.tif", values, names=("VV", "VH"), nodata=-9999.0)
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", "predictor": 3}
    write_raster(folder / "tiled.tif", values, **tiles)
    write_raster(folder / "big.tif", values, BIGTIFF="YES", compress="lzw")
    write_raster(folder / "strips.tif", values.astype(np.int16), compress="lzma", interleave="pixel")
    write_raster(
        folder / "geographic.tif", values[:1], rasterio.Affine(1e-4, 0, 15, 0, -1e-4, 47), "EPSG:4326"
    )
    write_raster(folder / "result.tif", np.arange(9000).reshape(3, 50, 60).astype(np.uint8))
    palette = write_raster(folder / "palette.tif", np.arange(3000).reshape(1, 50, 60).astype(np.uint8))
    with rasterio.open(palette, "r+") as dataset:
        dataset.write_colormap(1, {i: (i, i, i, 255) for i in range(256)})


def mutated_graph(rng, data):
    """Bytes of an ONNX file, changed as messages or as bytes."""
    if rng.random() < 0.35:
        return mutations.mangle(rng, data)
    model = onnx.ModelProto.FromString(data)
    mutations.onnx_model(rng, model)
    if rng.random() < 0.15:
        _move_outside(rng, model)
    data = model.SerializeToString()
    return data if rng.random() < 0.9 else mutations.mangle(rng, data)


def _move_outside(rng, model):
    """Says that a weight lies in some other file."""
    if model.graph.initializer:
        tensor = rng.choice(model.graph.initializer)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        tensor.external_data.add(
            key="location", value=rng.choice(mutations.TEXTS).replace("\ud800", "")[:4000]
        )
        if rng.random() < 0.5:
            number = str(rng.choice(mutations.NUMBERS))
            tensor.external_data.add(key=rng.choice(("offset", "length")), value=number)


def _mutate_files(rng, package, item):
    """Links, special files and clashes instead of the plain files."""
    asset = item["assets"]["model"]
    kind = rng.choice(("link", "item link", "folder link", "fifo", "folder", "href", "extra", "missing"))
    outside = "../../../../outside/canary"
    name = "item.json" if kind == "item link" else "model.onnx"
    if kind in {"link", "item link", "fifo", "folder", "missing"}:
        (package / name).unlink()
    if kind in {"link", "item link"}:
        (package / name).symlink_to(rng.choice((outside, "/etc/passwd", "/dev/zero", name, "/proc/self/mem")))
    elif kind == "folder link":
        (package / "sub").symlink_to("../../../../outside")
        asset["href"] = rng.choice(("sub/canary", "sub/../outside/canary", "sub/model.onnx"))
    elif kind == "fifo":
        os.mkfifo(package / name)
    elif kind == "folder":
        (package / name).mkdir()
    elif kind == "href":
        asset["href"] = rng.choice(mutations.TEXTS)
    elif kind == "extra":
        item["assets"][rng.choice(mutations.TEXTS)] = {
            **asset,
            "href": rng.choice(mutations.TEXTS),
            "roles": [],
        }


def _zip(rng, package, folder):
    path = folder / "package.zip"
    with zipfile.ZipFile(
        path, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    ) as target:
        for file in sorted(package.rglob("*")):
            if file.is_file() and not file.is_symlink():
                target.write(file, f"{rng.choice(('', 'tiny/'))}{file.name}")
        if rng.random() < 0.3:
            name = rng.choice(
                [text for text in mutations.TEXTS if "\ud800" not in text and len(text) < 60_000]
            )
            target.writestr(zipfile.ZipInfo(name), b"x")
    if rng.random() < 0.5:
        path.write_bytes(mutations.mangle(rng, path.read_bytes()))
    return path


def _changed_numbers(rng, text):
    """An item that may well load and describes another model than the weights are."""
    item = json.loads(text)
    properties = item["properties"]
    field = rng.choice(("inputs", "output", "tiling", "noise", "sample_statistics", "gsd_range_m"))
    key = f"eo_translate:{field}"
    changed = {key: properties.get(key)}
    for _ in range(rng.choice((1, 2, 3))):
        changed = mutations.json_step(rng, changed)
        if not isinstance(changed, dict):
            changed = {key: changed}
    return json.dumps({**item, "properties": {**properties, **changed}}).encode()


def run_program(arguments, folder):
    """``eo-translate ARGUMENTS`` in this process; whether it went well.

    Raises:
        Finding: A fault of ours, a traceback or anything but one sentence.
    """
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["eo-translate", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as end:
        status = end.code
    finally:
        sys.argv = before
    said = err.getvalue()
    if status in (None, 0):
        return True
    logs = sorted((folder / "state").rglob("fault-*.log"))
    if logs or "fault of EO Translate" in said:
        raise Finding(f"fault: {logs[-1].read_text() if logs else said}")
    if "Traceback" in said:
        raise Finding(f"traceback: {said}")
    lines = [line for line in said.splitlines() if line.strip()]
    if not lines:
        raise Finding(f"exit code {status} without a word")
    check_sentence(lines[-1])
    return False


def _check_events(stream, log):
    """Whether a request succeeded.

    Raises:
        Finding: An event is no JSON, or tells of a fault of ours.
    """
    accepted = False
    for line in stream.splitlines():
        event = json.loads(line)
        if event["event"] == "error":
            if event["code"] == "bug":
                raise Finding(f"fault: {log or event['message']}")
            check_sentence(event["message"])
        accepted |= event["event"] == "result"
    if "Traceback" in log:
        raise Finding(f"traceback: {log}")
    return accepted


def check_sentence(text):
    """Raises:
    Finding: It is not a plain sentence of bearable length.
    """
    problem = None
    if not text.endswith("."):
        problem = "does not end as a sentence"
    elif len(text) > _MAX_SENTENCE:
        problem = f"has {len(text) // 1000} thousand characters"
    elif "Traceback" in text or "\n" in text:
        problem = "is more than a sentence"
    if problem:
        raise Finding(f"message {problem}: {text[:300]} ... {text[-100:]}")
