"""Without any extra: memory and files, every public name, and the pip line for the rest."""

import tempfile

import storage
from storage import *  # noqa: F403 (no name of the package needs an extra to be imported)
from storage import AlreadyExistsError, MissingDependencyError, Storage

for url in ("memory://", "file://" + tempfile.mkdtemp(), None):
    with Storage(url) as store:
        store.set("a/b.txt", "text", metadata={"x": "é"})
        assert store.get("a/b.txt") == "text"
        try:
            store.set("a/b.txt", "", overwrite=False)
        except AlreadyExistsError:
            store.delete("a/b.txt")
        assert store.list() == []

for url, extra in {"s3://b": "s3", "gs://b": "gcs"}.items():
    try:
        Storage(url)
    except MissingDependencyError as error:
        said = str(error)
    assert f"pip install 'storage-facade[{extra}]'" in said
try:
    storage.AsyncStorage("memory://")
except MissingDependencyError as error:
    said = str(error)
assert "storage-facade[async]" in said
