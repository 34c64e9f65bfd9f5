"""Ray: an executor for ``sync_to``, ``delete_prefix`` and ``map_keys`` that runs their work on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

from storage.exceptions import MissingDependencyError

__all__ = ["RayExecutor"]

P = ParamSpec("P")
T = TypeVar("T")


class RayExecutor(Executor):
    """Runs each call as a Ray task, on the cluster that ``ray.init`` has joined; without one, Ray starts one on this machine.

    Args:
        options: of every task, as ``ray.remote`` takes them, for example ``num_cpus`` or ``runtime_env``.

    Raises:
        MissingDependencyError: the package ``ray`` is not installed.
    """

    def __init__(self, **options: Any) -> None:
        try:
            import ray  # late, as for no other framework: the module can be read without it
        except ImportError as exc:
            raise MissingDependencyError(
                "RayExecutor needs the package 'ray'; install it with: pip install 'storage-facade[ray]'"
            ) from exc
        ray.init(ignore_reinit_error=True, log_to_driver=False)
        self._remote = lru_cache(lambda fn: ray.remote(fn).options(**options))
        self._max_workers = int(ray.cluster_resources().get("CPU", 1))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As every executor."""
        future: Future[T] = self._remote(fn).remote(*args, **kwargs).future()
        return future
