"""The command line, on a directory."""

import subprocess
import tempfile
import urllib.request
from pathlib import Path

root = Path(tempfile.mkdtemp())
url = f"file://{root}/store"


def run(*args, stdin=""):
    return subprocess.run(["storage", *args], check=True, stdout=subprocess.PIPE, text=True, input=stdin).stdout


(root / "a.txt").write_text("text")
run("set", "--url", url, "d/a.txt", str(root / "a.txt"))
run("set", "--url", url, "b.txt", "-", stdin="piped")
assert run("get", "--url", url, "d/a.txt") == "text"
assert run("ls", "--url", url).split() == ["b.txt", "d/"]
assert '"size": 5' in run("info", "--url", url, "b.txt", "--json")
run("doctor", "--url", url)
run("sync", url, f"file://{root}/other")
assert run("ls", "-r", "--url", f"file://{root}/other").split() == ["b.txt", "d/a.txt"]
with subprocess.Popen(["storage", "serve", "--url", url, "--port", "0"], stdout=subprocess.PIPE, text=True) as serve:
    try:
        assert serve.stdout is not None
        base = serve.stdout.readline().strip()
        signed = run("sign", "--url", f"{url}?serve_url={base}", "b.txt").strip()
        with urllib.request.urlopen(signed) as answer:
            assert answer.read() == b"piped"
    finally:
        serve.terminate()
