"""The seam benchmark finds what was put into an image, and nothing in one without seams."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tiny_models
from rasterio.windows import Window
from rasters import run, sar_values, write
from typer.testing import CliRunner

import engine.cli
from engine import seams
from engine.errors import InputError
from engine.raster import quicklook
from engine.seams import lines
from engine.seams.profiles import spans
from engine.tiling.lattice import Box, lattice_windows

SIZE, TILE = 2048, 192
CROP = {"mode": "crop", "stride_multiple": 8, "halo_px": 48, "window_px": 1136, "stride_px": None}
LATTICE = {"mode": "lattice", "stride_multiple": 1, "window_px": 256, "stride_px": 192}


def texture(seed, size=SIZE):
    """1/f landscape, 8-bit range."""
    spectrum = np.fft.fft2(np.random.default_rng(seed).normal(size=(size, size)))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = 1
    image = np.fft.ifft2(spectrum / frequency).real
    return 120 + 40 * image / image.std()


def noise(seed, size=SIZE, sigma=4):
    return np.random.default_rng(seed).normal(0, sigma, (size, size))


def tile_offsets(seed, sigma, size=SIZE, tile=TILE):
    count = -(-size // tile)
    offsets = np.random.default_rng(seed).normal(0, sigma, (count, count))
    return np.kron(offsets, np.ones((tile, tile)))[:size, :size]


def saved(path, image, **more):
    pixels = np.clip(np.round(np.atleast_3d(image).transpose(2, 0, 1)), 1, 255).astype(np.uint8)
    return Path(write(path, pixels, tiled=True, **more))


def tagged(path, image, tiling, **more):
    saved(path, image)
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="EO_TRANSLATE", TILING=json.dumps({**tiling, "world_origin_px": [0, 0], **more}))
    return path


def figures(report):
    return {(axis.name, figure.name): figure for axis in report.axes for figure in axis.figures}


def verdicts(report):
    return {figure.verdict for figure in figures(report).values()}


@pytest.mark.parametrize("seed", range(3))
def test_an_image_without_tiles_passes(tmp_path, seed):
    report = seams.examine(saved(tmp_path / "a.tif", texture(seed) + noise(seed + 50)), "192")
    assert verdicts(report) == {"pass"}
    assert [axis.lines for axis in report.axes] == [10, 10]
    assert [axis.segments for axis in report.axes] == [110, 110]


@pytest.mark.parametrize("seed", range(3))
def test_tiles_two_grey_values_apart_stand_ten_deviations_out(tmp_path, seed):
    image = texture(seed) + noise(seed + 50) + tile_offsets(seed, 2)
    found = figures(seams.examine(saved(tmp_path / "a.tif", image), "192"))
    for axis in ("rows", "columns"):
        assert found[axis, "S2"].verdict == "fail"
        assert 5 < found[axis, "S2"].z < 16
        assert 1.3 < found[axis, "S2"].value < 2


def test_a_colour_seam_that_cancels_over_the_bands_is_found(tmp_path):
    image, offset = texture(1) + noise(51), tile_offsets(3, 2)
    report = seams.examine(saved(tmp_path / "a.tif", np.dstack([image + offset, image - offset])), "192")
    assert figures(report)["rows", "S2"].verdict == "fail"


@pytest.mark.parametrize("seed", range(3))
def test_a_blurred_band_is_found_by_its_texture_alone(tmp_path, seed):
    place = (np.arange(SIZE) + TILE // 2) % TILE - TILE // 2
    share = np.where(np.abs(place) < 32, np.sin(np.pi / 4 * (1 + place / 32)) ** 2, 1.0)
    mixed = share * noise(seed + 50) + (1 - share) * noise(seed + 90)
    found = figures(seams.examine(saved(tmp_path / "a.tif", texture(seed) + mixed), "192"))
    assert found["columns", "S4"].verdict == "fail"
    assert found["columns", "S4"].value < 0.97
    assert found["columns", "S2"].verdict == "pass"
    assert found["rows", "S4"].verdict == "pass"


def test_a_checkerboard_of_the_network_is_no_seam(tmp_path):
    row, col = np.indices((SIZE, SIZE)) % 8
    checkerboard = 6.0 * ((row < 4) ^ (col < 4)) + 8.0 * (col == 0)
    image = texture(2) + noise(52) + checkerboard
    # Lines of 8-px cells are as strong as the lines between tiles.
    report = seams.examine(saved(tmp_path / "a.tif", image), "192")
    assert verdicts(report) <= {"pass", "unclear"}
    seamed = seams.examine(saved(tmp_path / "b.tif", image + tile_offsets(2, 6)), "192")
    assert figures(seamed)["columns", "S2"].verdict == "fail"


def test_seams_are_looked_for_where_they_are(tmp_path):
    shifted = np.roll(tile_offsets(5, 3, 2304), (-100, -40), axis=(0, 1))[:SIZE, :SIZE]
    path = saved(tmp_path / "a.tif", texture(0) + noise(50) + shifted)
    assert seams.examine(path, "192,92,152").failed
    assert not seams.examine(path, "192,52,72").failed


def test_nodata_makes_no_seam(tmp_path):
    image = texture(1) + noise(51)
    row, col = np.indices(image.shape)
    hole = (row % (4 * TILE) < TILE) & (col % (2 * TILE) < TILE) | (row + col < 500)
    pixels = np.where(hole, 0, np.clip(np.round(image), 1, 255)).astype(np.uint8)[None]
    report = seams.examine(Path(write(tmp_path / "a.tif", pixels, nodata=0)), "192")
    assert verdicts(report) == {"pass"}
    assert report.axes[0].segments < 110


def test_the_lattice_comes_from_the_provenance(tmp_path):
    image = texture(0, 1300)
    path = tagged(tmp_path / "a.tif", image, CROP)
    assert [axis.lines for axis in seams.examine(path).axes] == [1, 1]
    path = tagged(tmp_path / "a.tif", image, CROP, chunk_px=512)
    assert [axis.lines for axis in seams.examine(path).axes] == [2, 2]
    path = tagged(tmp_path / "a.tif", image, LATTICE)
    starts, ends = len(range(192, 1300, 192)), len(range(64, 1300, 192))
    assert [axis.lines for axis in seams.examine(path).axes] == [starts + ends] * 2


@pytest.mark.parametrize("factor", [1, 2])
def test_lines_are_the_edges_of_the_planned_windows(factor):
    tag = json.dumps({**LATTICE, "world_origin_px": [-500, 77], "scale_factor": factor})
    found = lines.of_tag(tag)
    windows = lattice_windows(Box(0, 0, 700, 700), 256, 192, (-500, 77))
    for axis, edges in (
        (found.rows, {edge for box in windows for edge in box.rows}),
        (found.columns, {edge for box in windows for edge in box.cols}),
    ):
        phases = {(edge * factor - axis.start_px) % axis.period_px for edge in edges}
        assert phases == set(axis.offsets_px)


def test_small_windows_cut_chunks_into_pieces():
    tag = json.dumps({**CROP, "window_px": 512, "world_origin_px": [3, 3]})
    found = lines.of_tag(tag).rows
    # 512 - 2 * 48 - 2 * 7 = 402 px fit, so that 1024 px are three equal parts.
    assert (found.period_px, found.offsets_px) == (1024, (0, 342, 684))
    assert found.inside(1024) == 2
    assert found.inside(1025) == 3


def test_cells_cover_every_pixel_once():
    for text, size in (("192,-50,7", 2048), ("16", 500), ("4000", 5000), ("65,3,3", 300), ("300", 20)):
        for axis in (lines.of_grid(text).rows, lines.of_grid(text).columns):
            parts = list(spans(axis, size))
            assert parts[0][0] == 0
            assert parts[-1][1] == size
            assert all(a[1] == b[0] for a, b in zip(parts, parts[1:]))
            assert all(high - low <= 1088 for low, high in parts)


def test_the_hash_is_of_the_pixels_alone(tmp_path):
    image = texture(3, 700)
    first = saved(tmp_path / "a.tif", image)
    again = saved(tmp_path / "b.tif", image, compress="deflate", blockxsize=128, blockysize=64)
    other = image.copy()
    other[-1, -1] = 7 if other[-1, -1] > 100 else 200
    third = saved(tmp_path / "c.tif", other)
    hashes = [seams.examine(path, "100").sha256 for path in (first, again, third)]
    assert hashes[0] == hashes[1] != hashes[2]
    square, wide = np.zeros((1, 64, 64), np.uint8), np.zeros((1, 32, 128), np.uint8)
    sizes = {seams.examine(Path(write(tmp_path / "d.tif", v)), "16").sha256 for v in (square, wide)}
    assert len(sizes) == 2


def test_memory_does_not_grow_with_the_raster(tmp_path):
    peaks = []
    for height in (2048, 8192):
        values = np.tile(sar_values(256, 2048, bands=1), (1, height // 256, 1))
        path = Path(write(tmp_path / "a.tif", values, tiled=True))
        tracemalloc.start()
        seams.examine(path, "512")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_a_flat_image_is_no_pass(tmp_path):
    report = seams.examine(saved(tmp_path / "a.tif", np.full((600, 600), 9.0)), "192")
    assert verdicts(report) == {"unclear"}
    assert not report.failed


def invoke(*arguments):
    return CliRunner().invoke(engine.cli.app, ["seams", *map(str, arguments)])


def test_command_line(tmp_path):
    bad = saved(tmp_path / "bad.tif", texture(0) + noise(50) + tile_offsets(0, 3))
    answer = invoke(bad, "--grid", "192", "--picture", tmp_path / "p.png")
    assert answer.exit_code == 0
    assert "S2" in answer.stdout
    assert "fail" in answer.stdout
    assert invoke(bad, "--grid", "192", "--strict").exit_code == 1
    found = json.loads(invoke(bad, "--grid", "192", "--json").stdout)
    assert found["failed"] is True
    assert found["axes"]["rows"]["S2"]["z"] > 3
    assert len(found["S5"]) == 64
    pixels = quicklook.render(tmp_path / "p.png", 4096)
    assert len(np.unique(pixels[:3].reshape(3, -1), axis=1).T) > 100


def test_one_tile_has_no_seam_lines(tmp_path):
    path = tagged(tmp_path / "a.tif", texture(0, 900), CROP)
    answer = invoke(path, "--strict", "--picture", tmp_path / "p.png")
    assert answer.exit_code == 0
    assert "No seam lines inside" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.tif"], "does not exist"),
        (["plain.tif"], "--grid 256"),
        (["plain.tif", "--grid", "many"], "192,ROW,COL"),
        (["plain.tif", "--grid", "192,3"], "192,ROW,COL"),
        (["plain.tif", "--grid", "2"], "16 or more"),
        (["damaged.tif"], "damaged"),
        (["text.tif"], "not a raster"),
        (["plain.tif", "--grid", "64", "--picture", "nowhere/p.png"], "cannot be written"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "plain.tif", texture(0, 300))
    tagged(tmp_path / "damaged.tif", texture(0, 300), {"mode": "crop", "window_px": -3})
    (tmp_path / "text.tif").write_text("hello")
    answer = invoke(*arguments)
    assert answer.exit_code == 1
    assert words in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert "Traceback" not in answer.stderr


def test_a_truncated_file_is_one_sentence(tmp_path):
    path = saved(tmp_path / "a.tif", texture(0, 900), compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError):
        seams.examine(path, "192")


def test_a_result_of_the_engine_says_its_own_lattice(tmp_path, monkeypatch):
    monkeypatch.setenv("EO_TRANSLATE_MODELS", str(tmp_path / "models"))
    tiny_models.package(tmp_path / "models", "radar")
    source = write(tmp_path / "sar.tif", sar_values(1100, 1200))
    run(tmp_path / "out.tif", "radar", inputs={"sar": source})
    report = seams.examine(tmp_path / "out.tif")
    assert report.lattice.source.startswith("chunks of 1024 px")
    assert report.has_lines
    assert not report.failed


@pytest.fixture
def neighbours(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    module = pytest.importorskip("neighbours")
    if not (module.DATA / "ombria" / "index.csv").exists():
        pytest.skip(f"no OMBRIA data at {module.DATA}; set EO_DATA")
    return module


def test_neighbouring_scenes_join_without_a_step_if_they_share_statistics(tmp_path, neighbours):
    part = Window(neighbours.PART.col_off, neighbours.PART.row_off, 800, 1024)
    scene = neighbours.radar_scene(tmp_path / "scene.tif", neighbours.SCENE)
    radar = neighbours.cut(scene, tmp_path / "radar.tif", part)
    joined = neighbours.join(radar, tmp_path / "shared", shared=True)
    assert joined.z < 3
    apart = neighbours.join(radar, tmp_path / "apart", shared=False)
    assert apart.z > 5
