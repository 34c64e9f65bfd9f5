"""zarr: a group with an array."""

import zarr

from storage import AsyncStorage
from storage.integrations.zarr import StorageStore

store = StorageStore(AsyncStorage("memory://"))
group = zarr.create_group(store)
array = group.create_array("t", shape=(100, 100), chunks=(10, 10), dtype="f4")
array[:10] = 1.5
assert zarr.open_array(store, path="t", mode="r")[3, 3] == 1.5
