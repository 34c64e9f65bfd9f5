"""Ray: a sync whose work is done by tasks of a cluster on this machine."""

import tempfile

from storage import Storage
from storage.integrations.ray import RayExecutor

source, target = (Storage("file://" + tempfile.mkdtemp()) for _ in range(2))
source.set_many({f"k{n}": str(n) for n in range(20)})
done = source.sync_to(target, executor=RayExecutor())
assert (done.copied, done.failed) == (20, 0)
assert target.get("k7") == "7"
