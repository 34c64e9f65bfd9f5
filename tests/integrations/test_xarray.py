"""xarray over fsspec: it writes in zarr's format."""

from __future__ import annotations

import fsspec
import xarray


def test_xarray_zarr(place):
    """A data set in zarr's format, through a mapping."""
    url, options = place
    fs, path = fsspec.core.url_to_fs(f"{url}/set.zarr", **options)
    data = xarray.Dataset({"t": (("x", "y"), [[1.0, 2.0], [3.0, 4.0]])})
    data.to_zarr(fs.get_mapper(path), zarr_format=2, consolidated=True)
    with xarray.open_zarr(fs.get_mapper(path)) as found:
        assert found.load().equals(data)
