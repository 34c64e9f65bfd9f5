"""Which of these tests a Python can run."""

import sys

# zarr 3 needs Python 3.11.
collect_ignore = ["test_zarr.py"] if sys.version_info < (3, 11) else []
