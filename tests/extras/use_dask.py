"""Dask: a sync whose work is done by another process."""

import tempfile

from distributed import Client, LocalCluster

from storage import Storage

if __name__ == "__main__":  # the worker is spawned, and reads this file too
    source, target = (Storage("file://" + tempfile.mkdtemp()) for _ in range(2))
    source.set_many({f"k{n}": str(n) for n in range(20)})
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        done = source.sync_to(target, executor=client.get_executor())
    assert (done.copied, done.failed) == (20, 0)
    assert target.get("k7") == "7"
