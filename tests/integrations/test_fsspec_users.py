"""The programs that open files through fsspec, each with what its users write first."""

from __future__ import annotations

import duckdb
import fsspec
import pandas as pd
import polars as pl
import pyarrow.dataset
import pytest
from upath import UPath

from storage import Storage
from storage.integrations.fsspec import StorageFileSystem

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "ü", "z"]})


def test_pandas(place):
    """CSV and parquet, written and read by URL."""
    url, options = place
    FRAME.to_csv(f"{url}/t.csv", index=False, storage_options=options)
    FRAME.to_parquet(f"{url}/t.parquet", storage_options=options)
    assert pd.read_csv(f"{url}/t.csv", storage_options=options).equals(FRAME)
    assert pd.read_parquet(f"{url}/t.parquet", columns=["b"], storage_options=options).equals(FRAME[["b"]])


def test_polars(place):
    """Through an open file, which is how polars takes other people's file systems."""
    url, options = place
    frame = pl.DataFrame({"a": [1, 2, 3], "b": ["x", "ü", "z"]})
    with fsspec.open(f"{url}/t.parquet", "wb", **options) as file:
        frame.write_parquet(file)
    with fsspec.open(f"{url}/t.csv", "wb", **options) as file:
        frame.write_csv(file)
    with fsspec.open(f"{url}/t.parquet", "rb", **options) as file:
        assert pl.read_parquet(file, columns=["a"]).equals(frame.select("a"))
    with fsspec.open(f"{url}/t.csv", "rb", **options) as file:
        assert pl.read_csv(file).equals(frame)


def test_pyarrow_dataset(place):
    """A partitioned dataset of many files, and a filter that reads some of them."""
    url, options = place
    fs, path = fsspec.core.url_to_fs(f"{url}/set", **options)
    table = pyarrow.table({"year": [2024, 2025, 2025], "n": [1, 2, 3]})
    pyarrow.dataset.write_dataset(
        table, path, filesystem=fs, format="parquet", partitioning=["year"], partitioning_flavor="hive"
    )
    found = pyarrow.dataset.dataset(path, filesystem=fs, format="parquet", partitioning="hive")
    assert len(found.files) == 2
    assert found.to_table(filter=pyarrow.dataset.field("year") == 2025)["n"].to_pylist() == [2, 3]


def test_duckdb(place):
    """SQL over a glob of parquet files."""
    url, options = place
    fs, path = fsspec.core.url_to_fs(f"{url}/q", **options)
    for n in range(3):
        with fs.open(f"{path}/{n}.parquet", "wb") as file:
            pl.DataFrame({"n": [n, n]}).write_parquet(file)
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        scheme = url.partition("://")[0]
        (total,) = connection.execute(
            f"SELECT sum(n) FROM read_parquet('{scheme}://{_for_duckdb(path, url)}/*.parquet')"
        ).fetchone()
    assert total == 6


def _for_duckdb(path, url):
    """DuckDB hands each path with its scheme to the file system."""
    return path if url.startswith("storage+file") else f"{url.partition('://')[2].partition('/')[0]}/{path}"


# UPath says once that it has no class of its own for this scheme.
@pytest.mark.filterwarnings("ignore:UPath 'storage:UserWarning")
def test_upath(place):
    """pathlib's names."""
    url, options = place
    path = UPath(f"{url}/d/a.txt", **options)
    path.write_text("text")
    assert path.read_text() == "text"
    assert path.exists()
    assert [child.name for child in path.parent.iterdir()] == ["a.txt"]
    assert path.stat().st_size == 4
    path.unlink()
    assert not path.exists()


@pytest.mark.slow
def test_dask_on_two_processes(tmp_path):
    """Two worker processes read and write partitions of one store."""
    import dask.dataframe
    from distributed import Client, LocalCluster

    url, options = f"storage+file://{tmp_path}/store", {"root": str(tmp_path / "store")}
    for n in range(4):
        pd.DataFrame({"n": range(n * 10, n * 10 + 10)}).to_csv(
            f"{url}/in/{n}.csv", index=False, storage_options=options
        )
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster),
    ):
        frame = dask.dataframe.read_csv(f"{url}/in/*.csv", storage_options=options)
        assert frame["n"].sum().compute() == sum(range(40))
        frame.to_parquet(f"{url}/out", storage_options=options)
    assert len(pd.read_parquet(f"{url}/out", storage_options=options)) == 40


def test_given_storage(tmp_path):
    """A store that is open already, with its types and its prefix."""
    fs = StorageFileSystem(Storage(tmp_path), "result")
    with fs.open("a.csv", "w") as file:
        FRAME.to_csv(file, index=False)
    assert (tmp_path / "result" / "a.csv").exists()
    with fs.open("a.csv") as file:
        assert pd.read_csv(file).equals(FRAME)
