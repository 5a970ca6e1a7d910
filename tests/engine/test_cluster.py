"""The same job on dask.distributed workers gives the same pixels."""

import re

import numpy as np
import pytest
import rasterio
import tiny_models
from rasters import sar_values, write

from engine import job as engine_job
from engine.errors import ClusterError, InputError
from engine.spec import InputRaster, Job

pytest.importorskip("distributed", reason="dask.distributed comes with the extra [cluster]")

from engine import cluster


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.fixture(scope="module")
def two_workers():
    with cluster.connected(None, 2) as open_runner:
        yield open_runner


@pytest.fixture(params=["crop", "lattice"])
def job(request, tmp_path):
    modes = {"crop": tiny_models.CROP, "lattice": tiny_models.LATTICE}
    model = tiny_models.package(tmp_path, tiling=modes[request.param], norm=request.param == "lattice")
    sar = write(tmp_path / "sar.tif", sar_values(700, 1100))
    return Job(
        model=str(model),
        inputs={"sar": InputRaster(path=str(sar), units="db")},
        output=str(tmp_path / "out.tif"),
        seed=5,
        chunk_px=512,
    )


def test_two_workers_give_the_same_pixels(job, tmp_path, two_workers):
    engine_job.run(job)
    here = read(job.output)
    said = []
    engine_job.run(job, log=lambda level, text: said.append(text), open_runner=two_workers)
    np.testing.assert_array_equal(read(job.output), here)
    assert "The cluster has 2 workers." in said
    assert len(np.unique(here)) > 50


def test_parts_on_shared_storage_are_joined_by_a_vrt(job, tmp_path, two_workers):
    engine_job.run(job)
    (tmp_path / "shared").mkdir()
    spread = tmp_path / "shared" / "spread.vrt"
    shared = job.model_copy(
        update={
            "output": str(tmp_path / "shared" / "out.vrt"),
            "format": "vrt",
            "uncertainty": str(spread),
            "samples": 2,
        }
    )
    engine_job.run(shared, open_runner=two_workers)
    np.testing.assert_array_equal(read(shared.output), read(job.output))
    with rasterio.open(shared.output) as joined, rasterio.open(job.output) as whole:
        assert (joined.crs, joined.transform, joined.nodata) == (whole.crs, whole.transform, whole.nodata)
        assert joined.descriptions == whole.descriptions
        assert joined.tags(ns="EO_TRANSLATE")["SEED"] == "5"
    with rasterio.open(spread) as dataset:
        assert np.isfinite(dataset.read()).all()
        assert dataset.dtypes[0] == "float32"
    names = sorted(path.name for path in (tmp_path / "shared").iterdir())
    assert names == ["out.vrt", "out_parts", "spread.vrt", "spread_parts"]
    assert len(list((tmp_path / "shared" / "out_parts").iterdir())) == 6


def test_each_part_says_who_made_it(job, tmp_path, two_workers, monkeypatch):
    lines = []
    from engine.journal import JournalWriter

    add = JournalWriter.add
    monkeypatch.setattr(JournalWriter, "add", lambda self, record: lines.append(record) or add(self, record))
    engine_job.run(job, open_runner=two_workers)
    assert sorted(record.chunk for record in lines) == list(range(6))
    assert all(re.fullmatch(r".+:\d+", record.worker) for record in lines)
    assert {record.device for record in lines} == {"cpu"}


def test_a_mistake_on_the_worker_is_the_same_sentence(job, two_workers, tmp_path):
    wrong = job.model_copy(update={"inputs": {"sar": InputRaster(path=str(tmp_path / "none.tif"))}})
    with pytest.raises(InputError, match="does not exist"):
        engine_job.run(wrong, open_runner=two_workers)


def test_no_scheduler_is_one_sentence(monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_S", 1)
    with (
        pytest.raises(ClusterError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9 .*dask scheduler"),
        cluster.connected("tcp://127.0.0.1:9", None),
    ):
        pass
