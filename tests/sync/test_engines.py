"""Whole stores on real engines, whose worker processes are killed at random."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial

import pytest

from storage import Storage, UnavailableError
from storage._sync import work
from storage._sync.processes import Processes
from tests.emulators.s3 import seaweedfs  # noqa: F401
from tests.sync.stores import digests, fill, note_copies

COUNT = 20_000


class Killer:
    """A ``report`` that kills a worker now and then.

    Args:
        pids: the processes of the workers.
        kills: how often.
        every: kills after so many more pieces, on average.
    """

    def __init__(self, pids, kills, every):
        self._pids, self.left, self._every = pids, kills, every
        self._dice = random.Random(7)
        self._wait = 1

    def __call__(self, event):
        self._wait -= event.action == "ranges"
        if self.left and self._wait <= 0 and (pids := self._pids()):
            os.kill(self._dice.choice(pids), signal.SIGKILL)
            self.left -= 1
            self._wait = self._dice.randint(1, 2 * self._every)


def copies(log):
    """How often each key was copied, begun copies included."""
    return Counter(log.read_text("utf-8").splitlines())


# ---- processes of this machine -------------------------------------------------------------------------------------

SPAWN = multiprocessing.get_context("spawn")


def pids_of_children():
    """The processes of a pool, from now on."""
    others = set(multiprocessing.active_children())
    return lambda: [child.pid for child in multiprocessing.active_children() if child not in others]


def stores(tmp_path):
    """A folder of files, and an empty store."""
    return (
        Storage(f"file://{tmp_path}/from?fsync=false&types=data:"),
        Storage(f"file://{tmp_path}/to?fsync=false&types=data:data/,tmp:tmp/"),
    )


def test_a_pool_that_breaks_is_made_anew(tmp_path):
    """Each kill breaks the whole pool; the next one goes on where it stopped, and no blob is copied more than twice."""
    wanted = fill(tmp_path / "from", 1_000)
    source, target = stores(tmp_path)
    killer, runs = Killer(pids_of_children(), kills=3, every=1), []
    note = partial(note_copies, str(tmp_path / "log"))
    while not runs:
        with ProcessPoolExecutor(2, SPAWN, note) as executor, suppress(UnavailableError):
            runs.append(source.sync_to(target, "data", executor=executor, report=killer))
    assert killer.left == 0
    assert runs[0].resumed > 0
    assert digests(tmp_path / "to/data") == wanted
    assert max(copies(tmp_path / "log").values()) <= 2
    assert target.list(storage_type="tmp") == []


def test_a_pool_that_survives(tmp_path):
    """The pool of ``storage sync --processes`` takes new work after a kill, so that one call does it all."""
    wanted = fill(tmp_path / "from", 1_000)
    source, target = stores(tmp_path)
    killer = Killer(pids_of_children(), kills=3, every=1)
    with Processes(2) as executor:
        result = source.sync_to(target, "data", executor=executor, report=killer)
    assert killer.left == 0
    assert (result.copied + result.same, result.failed) == (1_000, 0)
    assert digests(tmp_path / "to/data") == wanted


def test_processes_start_at_once():
    """While the caller still splits its keys, all processes of ``storage sync --processes`` load what they need."""
    pids = pids_of_children()
    with Processes(2):
        assert len(pids()) == 2


# ---- clusters ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(seaweedfs, monkeypatch):  # noqa: F811
    """The URL of an empty place in a bucket; workers find its credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs.secret_key)
    return seaweedfs.url("engines", query="&types=data:data/,tmp:tmp/")


def resting(executor, source, target, killer):
    """A sync whose driver, too, is interrupted half way and begun anew; both results of the second."""
    blobs = 0

    def interrupt(event):
        nonlocal blobs
        killer(event)
        blobs = event.blobs
        if event.action == "ranges" and event.blobs > COUNT / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.sync_to(target, "data", executor=executor, report=interrupt)
    return source.sync_to(target, "data", executor=executor, report=killer)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_dask_workers_that_are_killed(tmp_path, bucket):
    """20,000 files to a bucket and back: ten workers are killed each way, and the driver once; all arrives."""
    import dask
    from distributed import Client, LocalCluster
    from distributed.diagnostics.plugin import WorkerPlugin

    class NotesCopies(WorkerPlugin):
        def __init__(self, log):
            self.log = log

        def setup(self, worker):
            note_copies(self.log)

    wanted = fill(tmp_path / "from", COUNT)
    files, target = stores(tmp_path)
    ways = [(files, Storage(bucket)), (Storage(bucket), target)]
    with (
        # Else a worker that is killed a second time within 15 seconds is given up for good.
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        for number, (left, right) in enumerate(ways):
            log = tmp_path / f"log{number}"
            client.register_plugin(NotesCopies(str(log)), name="notes")
            killer = Killer(partial(dask_workers, cluster), kills=10, every=3)
            result = resting(client.get_executor(), left, right, killer)
            assert killer.left == 0
            assert result.resumed > 0
            assert result.failed == 0
            assert max(copies(log).values()) <= 2
            assert right.list(storage_type="tmp") == []
    assert digests(tmp_path / "to/data") == wanted


def dask_workers(cluster):
    """The processes of workers that have joined: one that is killed while it starts is not started again."""
    known = cluster.scheduler.workers
    return [
        nanny.pid
        for nanny in cluster.workers.values()
        if nanny.status.name == "running" and nanny.worker_address in known
    ]


@pytest.mark.slow
@pytest.mark.marathon
@pytest.mark.timeout(1800)
def test_ray_workers_that_are_killed(tmp_path, bucket):
    """The same on Ray, one way: 20,000 files to a bucket, which holds the same then."""
    import ray

    from storage.integrations.ray import RayExecutor

    wanted = fill(tmp_path / "from", COUNT)
    files, target = stores(tmp_path)
    log = tmp_path / "log"

    def noting():
        note_copies(str(log))
        vars(work)["_SYNCED"] = work.Limit(compared=1_000, jobs=400, size=2**30)  # pieces enough for ten kills

    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"worker_process_setup_hook": noting}
    )
    try:
        executor = RayExecutor(max_retries=0)
        killer = Killer(ray_workers, kills=10, every=2)
        result = resting(executor, files, Storage(bucket), killer)
    finally:
        ray.shutdown()
    assert killer.left == 0
    assert result.resumed > 0
    assert max(copies(log).values()) <= 2
    Storage(bucket).sync_to(target, "data")
    assert digests(tmp_path / "to/data") == wanted


def ray_workers():
    """The processes that run Ray tasks here."""
    import psutil  # type: ignore[import-untyped]

    return [child.pid for child in psutil.Process().children(recursive=True) if "ray::run_task" in child.name()]
