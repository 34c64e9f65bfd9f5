"""Every driver and tool at once, and no test kit."""

import importlib.util
import subprocess

from storage import AsyncStorage, Storage

for url in (
    "memory://",
    "s3://bucket?region=eu-west-1&anonymous=true",
    "gs://bucket?anonymous=true&project=p",
):
    Storage(url).close()
assert AsyncStorage("memory://").storage_types == ("data", "tmp", "result")
with Storage("memory://") as store:
    assert store.get_signed_url("k").startswith("http://127.0.0.1")
assert "Usage" in subprocess.run(["storage", "--help"], check=True, capture_output=True, text=True).stdout
for name in ("pytest", "hypothesis", "moto"):
    assert importlib.util.find_spec(name) is None, name
