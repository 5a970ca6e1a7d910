"""Everything that a user can get wrong: one plain sentence, an exit status, and nothing left behind."""

import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from e2e_rasters import write_raster
from onnx_bytes import model_with_external_weights
from rasterio.control import GroundControlPoint

# What QGIS 3.22 and GDAL print by themselves: a Python warning, their own tries to draw the layer, a heading.
HARMLESS = re.compile(
    r"DeprecationWarning: setapi|^\s*$|^ERROR \d+:|An error was encountered while checking"
    r"|ZeroBlockHttpCodes|Couldn't connect to server|Creating Warped VRT"
)


def sar_bands(size=96, dtype="float32"):
    values = np.random.default_rng(1).normal(-12, 4, (2, size, size))
    return values.astype(dtype)


def missing_file(folder, scene):
    return "sartooptical", {"SAR": folder / "none.tif"}, r"none\.tif"


def text_file(folder, scene):
    (folder / "notes.tif").write_text("not a raster")
    return "sartooptical", {"SAR": folder / "notes.tif"}, r"notes\.tif"


def no_crs_beside_one_that_has(folder, scene):
    sar = write_raster(folder / "sar.tif", sar_bands(), ("VV", "VH"), crs=None)
    return "sartooptical", {"SAR": sar, "DEM": scene["dem"]}, "has no CRS"


def ground_control_points_only(folder, scene):
    corners = [(0, 0), (0, 96), (96, 0), (96, 96)]
    points = [GroundControlPoint(row, col, 11 + col / 1e4, 47 - row / 1e4) for row, col in corners]
    sar = write_raster(
        folder / "gcp.tif", sar_bands(), ("VV", "VH"), crs=None, transform=rasterio.Affine.identity()
    )
    with rasterio.open(sar, "r+") as file:
        file.gcps = (points, "EPSG:4326")
    return "sartooptical", {"SAR": sar}, "ground control points"


def no_overlap(folder, scene):
    far = rasterio.Affine(10, 0, 700000, 0, -10, 5200000)
    dem = write_raster(folder / "dem.tif", np.ones((1, 64, 64), np.float32), transform=far)
    return "sartooptical", {"SAR": scene["sar"], "DEM": dem}, "does not overlap"


def too_many_bands(folder, scene):
    mask = write_raster(folder / "mask.tif", np.full((2, 64, 64), 10, np.uint8))
    return "masktoimage", {"MASK": mask}, "2 bands"


def band_that_is_not_there(folder, scene):
    return "sartooptical", {"SAR": scene["sar"], "VV_BAND": 7}, r"\b7\b"


def all_nodata(folder, scene):
    sar = write_raster(
        folder / "empty.tif", np.full((2, 64, 64), np.nan, np.float32), ("VV", "VH"), nodata=np.nan
    )
    return "sartooptical", {"SAR": sar}, "no valid pixels"


def complex_sar(folder, scene):
    sar = write_raster(folder / "slc.tif", sar_bands(dtype="complex64"))
    return "sartooptical", {"SAR": sar}, "complex"


def web_layer(folder, scene):
    (folder / "web.xml").write_text(
        "<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:9/${z}/${x}/${y}.png</ServerUrl></Service>"
        "<DataWindow><UpperLeftX>-20037508</UpperLeftX><UpperLeftY>20037508</UpperLeftY>"
        "<LowerRightX>20037508</LowerRightX><LowerRightY>-20037508</LowerRightY><TileLevel>18</TileLevel>"
        "<TileCountX>1</TileCountX><TileCountY>1</TileCountY><YOrigin>top</YOrigin></DataWindow>"
        "<Projection>EPSG:3857</Projection><BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY>"
        "<BandsCount>3</BandsCount><Timeout>2</Timeout></GDAL_WMS>"
    )
    return "sartooptical", {"SAR": folder / "web.xml"}, "web"


def class_outside_the_legend(folder, scene):
    values = np.full((1, 64, 64), 10, np.uint8)
    values[0, 5:9, 5:9] = 33
    return "masktoimage", {"MASK": write_raster(folder / "mask.tif", values)}, r"\b33\b"


def unknown_legend(folder, scene):
    return "masktoimage", {"MASK": scene["mask"], "LEGEND": "moon"}, "LEGEND"


def mapping_to_an_unknown_class(folder, scene):
    parameters = {"MASK": scene["mask"], "LEGEND": "custom", "MAPPING": "10=lava"}
    return "masktoimage", parameters, "lava"


def unknown_parameter(folder, scene):
    return "sartooptical", {"SAR": scene["sar"], "SAMPLE": 2}, "did you mean SAMPLES"


def uncertainty_of_one_sample(folder, scene):
    return "sartooptical", {"SAR": scene["sar"], "UNCERTAINTY": folder / "out" / "b.tif"}, "SAMPLES"


def extent_elsewhere(folder, scene):
    return "sartooptical", {"SAR": scene["sar"], "EXTENT": "0,100,0,100"}, "extent"


def unknown_model(folder, scene):
    return "sartooptical", {"SAR": scene["sar"], "MODEL": "sar-to-opticle"}, "sar-to-opticle"


def model_for_other_inputs(folder, scene):
    return "sartooptical", {"SAR": scene["sar"], "MODEL": "mask-to-image"}, "mask"


def damaged_weights(folder, scene):
    package = copy_of_the_model(folder)
    weights = package / "model.onnx"
    weights.write_bytes(weights.read_bytes()[:-1000])
    return "masktoimage", {"MASK": scene["mask"], "MODEL": package}, "(damaged|size|SHA-256)"


def wrong_hash(folder, scene):
    package = copy_of_the_model(folder)
    data = bytearray((package / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (package / "model.onnx").write_bytes(data)
    return "masktoimage", {"MASK": scene["mask"], "MODEL": package}, "SHA-256"


def missing_external_data(folder, scene):
    package = copy_of_the_model(folder)
    item = json.loads((package / "item.json").read_text())
    classes = len(item["properties"]["eo_translate:inputs"][0]["classes"])
    data = model_with_external_weights(classes, "weights.bin")
    (package / "model.onnx").write_bytes(data)
    item["properties"]["eo_translate:noise"] = None
    checksum = "1220" + hashlib.sha256(data).hexdigest()
    item["assets"]["model"] |= {"file:size": len(data), "file:checksum": checksum}
    (package / "item.json").write_text(json.dumps(item))
    return "masktoimage", {"MASK": scene["mask"], "MODEL": package}, r"weights\.bin"


def missing_output_folder(folder, scene):
    return "masktoimage", {"MASK": scene["mask"], "OUTPUT": folder / "nowhere" / "a.tif"}, "nowhere"


def unwritable_output_folder(folder, scene):
    locked = folder / "locked"
    locked.mkdir(mode=0o555)
    # Root may write anywhere but into the kernel's own file system.
    target = Path("/proc") if os.access(locked, os.W_OK) else locked
    return (
        "masktoimage",
        {"MASK": scene["mask"], "OUTPUT": target / "a.tif"},
        "(cannot be written|MB free)",
    )


def output_that_is_no_geotiff(folder, scene):
    return "masktoimage", {"MASK": scene["mask"], "OUTPUT": folder / "out" / "a.jpg"}, "jpg"


def output_over_an_input(folder, scene):
    mask = folder / "mask.tif"
    shutil.copy(scene["mask"], mask)
    return "masktoimage", {"MASK": mask, "OUTPUT": mask}, "also an input"


def bad_creation_option(folder, scene):
    return "masktoimage", {"MASK": scene["mask"], "CREATION_OPTIONS": "COMPRESS"}, "NAME=VALUE"


ROWS = [
    missing_file,
    text_file,
    no_crs_beside_one_that_has,
    ground_control_points_only,
    no_overlap,
    too_many_bands,
    band_that_is_not_there,
    all_nodata,
    complex_sar,
    web_layer,
    class_outside_the_legend,
    unknown_legend,
    mapping_to_an_unknown_class,
    unknown_parameter,
    uncertainty_of_one_sample,
    extent_elsewhere,
    unknown_model,
    model_for_other_inputs,
    damaged_weights,
    wrong_hash,
    missing_external_data,
    missing_output_folder,
    unwritable_output_folder,
    output_that_is_no_geotiff,
    output_over_an_input,
    bad_creation_option,
]


_MODEL: dict[str, Path] = {}


@pytest.fixture(autouse=True)
def _bundled(plugins):
    _MODEL["source"] = plugins / "eo_translate_plugin" / "resources" / "models" / "mask-to-image"


def copy_of_the_model(folder):
    return Path(shutil.copytree(_MODEL["source"], folder / "model"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_bad_input_is_refused_with_one_sentence(qgis, scene, tmp_path, out, row):
    algorithm, parameters, sentence = row(tmp_path, scene)
    before = contents(tmp_path)
    outcome = qgis.run(f"eo_translate:{algorithm}", **{"OUTPUT": out / "a.tif", **parameters})
    assert outcome.code != 0
    assert_one_sentence(outcome, sentence)
    assert contents(tmp_path) == before


def test_a_full_disk_is_one_sentence_and_leaves_nothing(qgis, scene, out):
    """The file-size limit of the process stands for a full disk: a write fails when the file is half made."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    words = [f"--MASK={scene['mask']}", f"--OUTPUT={out / 'a.tif'}"]
    answer = subprocess.run(
        [qgis.program, "run", "eo_translate:masktoimage", *words],
        env=qgis.environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )
    assert answer.returncode != 0
    assert "Traceback" not in answer.stdout + answer.stderr
    assert re.search(r"(?i)(no space|full|too large|could not be written|cannot be written)", answer.stderr)
    assert list(out.iterdir()) == []


def test_a_file_system_that_is_really_full(qgis, scene, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("Mounting a small file system needs root.")
    try:
        outcome = qgis.run("eo_translate:masktoimage", MASK=scene["mask"], OUTPUT=small / "a.tif")
        assert outcome.code != 0
        assert_one_sentence(outcome, "(?i)(space|room|full)")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def assert_one_sentence(outcome, pattern):
    said = outcome.stdout + outcome.stderr
    assert "Traceback" not in said
    assert "fault of EO Translate" not in said
    assert "did not expect" not in said
    assert re.search(pattern, outcome.stderr), outcome.stderr
    # QGIS repeats the sentence and puts a heading before it.
    lines = {
        line.removeprefix("ERROR:").strip()
        for line in outcome.stderr.splitlines()
        if not HARMLESS.search(line)
    }
    assert len(lines) == 1, lines


def contents(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).digest() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.name.endswith(".aux.xml")  # QGIS keeps statistics of any raster that it opens there
    }
