"""Runs chunks on dask.distributed: the same pure functions, on as many machines as there are."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import queue
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import rasterio

from engine.diagnostics import devices, versions
from engine.errors import ClusterError, EOTranslateError, MissingPackageError
from engine.inputs import Inputs, Log, open_inputs
from engine.models import store, weights
from engine.models.item import ModelItem
from engine.raster.parts import store_part
from engine.raster.source import GDAL_OPTIONS
from engine.runner import Check, Runner, run_chunk
from engine.scene import Chunk, Scene, open_scene
from engine.spec import Job
from engine.translators.base import Translator, warm_translator

if TYPE_CHECKING:
    from distributed import Client, Future

_CONNECT_S = 20
_POLL_S = 0.2
_AHEAD = 3  # tasks a worker thread has waiting, so that it never idles and results never pile up
# A finished result whose worker died before it was fetched: the scheduler gives the task to another worker.
_MADE_AGAIN = ("lost", "pending")
_GPU = "GPU"  # name of the worker resource: dask worker --resources "GPU=1"


@contextlib.contextmanager
def connected(
    scheduler: str | None, workers: int | None
) -> Iterator[Callable[[Job, ModelItem, Log], Runner]]:
    """What ``engine.job.run`` takes as ``open_runner``, for the length of a block.

    Args:
        scheduler: Address of a Dask scheduler, as ``tcp://host:8786``.
        workers: Instead: how many workers to start on this machine, each with one thread.

    Raises:
        MissingPackageError: dask.distributed is not installed.
        ClusterError: Nothing answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise MissingPackageError(
            "A cluster needs dask.distributed, which is not installed; run: pip install "
            "'eo-translate[cluster]'."
        ) from None
    with contextlib.ExitStack() as opened:
        where: Any = scheduler
        if scheduler is None:
            where = opened.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            )
        try:
            client = opened.enter_context(Client(where, timeout=_CONNECT_S))
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(
                f"No Dask scheduler answers at {scheduler} ({' '.join(str(error).split())[:120]}); start one "
                "with 'dask scheduler', or correct the address."
            ) from None
        yield functools.partial(DaskRunner, client)


class DaskRunner:
    """A runner on a cluster; see ``engine.runner.Runner``.

    Raises:
        ClusterError: It has no workers, or they run another engine.
    """

    def __init__(self, client: Client, job: Job, item: ModelItem, log: Log) -> None:
        self._client, self._item = client, item
        self.evaluated = 0.0
        self._futures: set[Future] = set()
        self._threads, self._resources = _workers(client)
        found = _described(client)
        kinds = {"cuda" if job.device != "cpu" and "cuda" in found[w]["devices"] else "cpu" for w in found}
        self.device = "+".join(sorted(kinds))
        if len(kinds) > 1:
            log("warning", "Some workers have CUDA and some do not, so pixels may differ in the last bits.")
        log("info", f"The cluster has {len(found)} workers.")

    def run(
        self, scene: Scene, indices: list[int], check: Check, on_wait: Callable[[], None]
    ) -> Iterator[Chunk]:
        """See ``Runner.run``; in the order in which they are done."""
        document, token = _for_workers(scene.job, self._item, scene.inputs), uuid.uuid4().hex
        waiting, done = iter(scene.order(indices)), queue.SimpleQueue()
        room = self._threads * _AHEAD

        def submit() -> bool:
            for index in waiting:
                future = self._client.submit(
                    chunk_on_worker,
                    document,
                    index,
                    key=f"eo-translate-{token}-{index}",
                    resources=self._resources,
                    pure=False,
                )
                self._futures.add(future)
                future.add_done_callback(done.put)
                return True
            return False

        try:
            while len(self._futures) < room and submit():
                pass
            while self._futures:
                try:
                    future = done.get(timeout=_POLL_S)
                except queue.Empty:
                    on_wait()
                    self._check_alive()
                    continue
                if future.status in _MADE_AGAIN:
                    time.sleep(_POLL_S)
                    on_wait()
                    self._check_alive()
                    done.put(future)
                    continue
                self._futures.discard(future)
                chunk = _outcome(future)
                submit()
                self.evaluated += 1
                yield chunk
        finally:
            self.terminate()

    def terminate(self) -> None:
        """See ``Runner.terminate``: waiting chunks are dropped, running ones end unheard."""
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._client.cancel(list(self._futures), force=True)
        self._futures.clear()

    def _check_alive(self) -> None:
        if self._client.status in ("closed", "closing"):
            raise ClusterError("The connection to the Dask scheduler is lost; start it again.")


def chunk_on_worker(document: str, index: int) -> Chunk:
    """One chunk, on a worker.

    Args:
        document: The job as JSON, with everything measured by the client filled in.
        index: Of the chunk.
    """
    with _one_at_a_time, rasterio.Env(**GDAL_OPTIONS):
        scene, translator = _opened(document)
        chunk = run_chunk(scene, index, translator, _unheard)
    if scene.job.format == "vrt":
        place = scene.place(index)
        both = zip(scene.files, chunk.files, strict=True)
        stored = [store_part(file.path, place, content) for file, content in both]
        chunk = replace(chunk, files=tuple(stored))
    return replace(chunk, worker=f"{socket.gethostname()}:{os.getpid()}")


_one_at_a_time = threading.Lock()  # GDAL's handles and the device serve one thread


@functools.lru_cache(maxsize=1)
def _opened(document: str) -> tuple[Scene, Translator]:
    """The job's scene and its model, kept for the worker's next chunk."""
    from distributed import get_worker

    job = Job.model_validate_json(document)
    item = store.find(job.model)
    weights.check_hash(item)
    if item.sha256 != job.model_sha256:
        raise ClusterError(
            f"The worker {socket.gethostname()} has another version of the model {item.id}; install the same "
            "there."
        )
    threads = job.threads or get_worker().state.nthreads
    translator = warm_translator(item, job.device, threads, job.precision, job.profile)
    inputs = open_inputs(job, item, _unheard, lambda: None)
    return open_scene(job, item, inputs, translator.device), translator


def _for_workers(job: Job, item: ModelItem, inputs: Inputs) -> str:
    """The job as JSON: absolute paths, and the numbers that the client has measured."""
    given = {}
    for modality, spec in job.inputs.items():
        paths = tuple(os.path.abspath(path) if os.path.exists(path) else path for path in spec.paths)
        update: dict[str, Any] = {"path": paths if len(paths) > 1 else paths[0]}
        if modality in inputs.statistics:
            update["statistics"] = inputs.statistics[modality]
        if modality in inputs.units:
            update["units"] = inputs.units[modality]
        given[modality] = spec.model_copy(update=update)
    outputs = {"output": job.output, "uncertainty": job.uncertainty}
    places = {name: _absolute(path) for name, path in outputs.items() if path}
    model = os.path.abspath(job.model) if os.path.isdir(job.model) else job.model
    fixed = {"inputs": given, "model": model, "model_sha256": item.sha256, **places}
    return job.model_copy(update=fixed).model_dump_json()


def _absolute(paths: str | dict[str, str]) -> str | dict[str, str]:
    if isinstance(paths, str):
        return os.path.abspath(paths)
    return {modality: os.path.abspath(path) for modality, path in paths.items()}


def _workers(client: Client) -> tuple[int, dict[str, float]]:
    """Threads that can work at once, and what each task claims of them."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if not workers:
        raise ClusterError(
            "The Dask scheduler has no workers; start some with 'dask worker ADDRESS --nthreads 1'."
        )
    with_gpu = [worker for worker in workers if worker["resources"].get(_GPU)]
    if with_gpu:
        return int(sum(worker["resources"][_GPU] for worker in with_gpu)), {_GPU: 1}
    return sum(worker["nthreads"] for worker in workers), {}


def _described(client: Client) -> dict[str, dict[str, Any]]:
    """Worker -> versions and devices; all must have this engine."""
    try:
        found = client.run(_describe)
    except Exception as error:  # whatever a worker's Python says
        raise ClusterError(
            f"A worker cannot load the engine ({' '.join(str(error).split())[:120]}); install eo-translate "
            "there."
        ) from None
    own = _describe()["versions"]
    for worker, about in found.items():
        different = [name for name in own if about["versions"].get(name) != own[name]]
        if different:
            name = different[0]
            raise ClusterError(
                f"The worker {worker} has {name} {about['versions'].get(name)} and this machine {own[name]}; "
                "install the same versions everywhere, or pixels would differ."
            )
    return found


def _describe() -> dict[str, Any]:
    used = versions()
    del used["python"]
    return {"versions": used, "devices": devices()}


def _outcome(future: Future) -> Chunk:
    if future.status == "finished":
        return future.result()
    if future.status == "error":
        error = future.exception()
        if isinstance(error, EOTranslateError):
            raise error
        if type(error).__name__ == "KilledWorker":
            raise ClusterError(
                "Several workers died of the same part of the work; see their logs, memory is the usual "
                "reason."
            )
        raise error
    raise ClusterError("The Dask scheduler has dropped the work: it was stopped, or has lost its workers.")


def _unheard(level: str, text: str) -> None:
    """The client has said it all."""
