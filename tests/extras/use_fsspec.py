"""fsspec: files by URL, and the file system itself."""

import fsspec

from storage import Storage
from storage.integrations.fsspec import StorageFileSystem

with fsspec.open("storage+memory://lake/d/a.txt", "w") as file:
    file.write("text")
with fsspec.open("storage+memory://lake/d/a.txt", "rb") as file:
    assert file.read() == b"text"
fs, path = fsspec.core.url_to_fs("storage+memory://lake/d/*.txt")
assert fs.glob(path) == ["d/a.txt"]
own = StorageFileSystem(Storage("memory://"))
own.pipe({"a": b"1", "b": b"2"})
assert own.cat(["a", "b"]) == {"a": b"1", "b": b"2"}
try:
    own.info("absent")
    raise AssertionError
except FileNotFoundError:
    pass
