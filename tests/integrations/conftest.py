"""What the tests of the integrations share, and which of them a Python can run."""

import sys
import uuid

import pytest

from tests.emulators.s3 import moto_s3, seaweedfs

__all__ = ["moto_s3", "seaweedfs"]

# zarr 3 and obspec-utils need Python 3.11.
collect_ignore = ["test_obspec_users.py", "test_xarray.py", "test_zarr.py"] if sys.version_info < (3, 11) else []


@pytest.fixture(params=["memory", "file", "s3"])
def place(request, tmp_path):
    """A URL for fsspec, and its options, of a store in memory, in a directory and in SeaweedFS."""
    if request.param == "memory":
        return f"storage+memory://{uuid.uuid4().hex}", {}
    if request.param == "file":
        return f"storage+file://{tmp_path}/store", {"root": str(tmp_path / "store")}
    server = request.getfixturevalue("seaweedfs")
    options = {"endpoint_url": server.endpoint_url, "region": server.region, "auth": server.auth}
    return f"storage+s3://{server.bucket}/{uuid.uuid4().hex}", options
