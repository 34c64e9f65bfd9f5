"""The executors of ``storage sync``: processes of this machine, a Dask cluster, a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from storage import MissingDependencyError
from storage.cli._app import usage


@contextmanager
def executor_of(processes: int | None, dask: str | None, ray: bool) -> Iterator[Executor | None]:
    """The executor of the options ``--processes``, ``--dask ADDRESS`` and ``--ray``; ``None`` without any."""
    if sum([processes is not None, dask is not None, ray]) > 1:
        usage("Give one of --processes, --dask and --ray.")
    if processes is not None:
        from storage._sync.processes import Processes

        with Processes(processes) as pool:
            yield pool
    elif dask is not None:
        try:
            from distributed import Client
        except ImportError as exc:
            raise MissingDependencyError(
                "--dask needs the package 'distributed'; install it with: pip install 'storage-facade[dask]'"
            ) from exc
        with Client(dask) as client:  # type: ignore[no-untyped-call]
            executor = client.get_executor()
            # As the standard library's pools tell: else there are many ranges to begin with, enough for a large cluster.
            executor._max_workers = sum(client.nthreads().values())  # noqa: SLF001
            yield executor
    elif ray:
        from storage.integrations.ray import RayExecutor

        yield RayExecutor()
    else:
        yield None
