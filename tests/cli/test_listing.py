"""``ls``, ``du``, ``cp``, ``mv``, ``sign``, ``upload-url``, ``gc``, ``doctor``, ``completion``."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import unquote

import pytest

from storage import PreconditionFailedError, Storage
from storage.backends import Download
from storage.backends.filesystem import FilesystemBackend

BLOBS = {"a": "1", "a-b": "22", "a/b": "333", "a/c/d": "4444", "z é": "x" * 5000}


@pytest.fixture
def blobs(store):
    store.set_many(BLOBS)
    return store


# ---- ls and du -----------------------------------------------------------------------------------------------------


def test_ls_one_level(storage, blobs):
    """Whole keys of one level, one a line, in order; folders end in a slash."""
    assert storage("ls").lines == ["a", "a-b", "a/", "z é"]
    assert storage("ls", "a/").lines == ["a/b", "a/c/"]
    assert storage("ls", "z").lines == ["z é"]
    assert storage("ls", "nope") == (0, b"", "")


@pytest.mark.parametrize("option", ["-r", "--recursive"])
def test_ls_recursive(storage, blobs, option):
    """Every key that starts with the prefix."""
    assert storage("ls", option).lines == list(BLOBS)
    assert storage("ls", option, "a/").lines == ["a/b", "a/c/d"]


def test_ls_between_bounds(storage, blobs):
    """--start-after and --end-before, alone and together, with a prefix, with a pattern, and with details."""
    assert storage("ls", "-r", "--start-after", "a/b").lines == ["a/c/d", "z é"]
    assert storage("ls", "-r", "--end-before", "a/b").lines == ["a", "a-b"]
    assert storage("ls", "-r", "--start-after", "a/", "--end-before", "a/c").lines == ["a/b"]
    assert storage("ls", "-r", "a/", "--start-after", "a/b").lines == ["a/c/d"]
    assert storage("ls", "--start-after", "a-").lines == ["a-b", "a/", "z é"]
    assert storage("ls", "--glob", "**", "--end-before", "a/c").lines == ["a", "a-b", "a/b"]
    assert [o["key"] for o in storage("ls", "--glob", "a*/**", "--json", "--start-after", "a/b").objects] == ["a/c/d"]


def test_ls_long(storage, blobs):
    """Size, time in UTC and key, in columns."""
    lines = storage("ls", "-l").lines
    assert [line.split()[-1] for line in lines] == ["a", "a-b", "a/", "é"]
    size, when, key = lines[0].split()
    assert (size, key) == ("1", "a")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", when)
    assert len({line.rindex(" ") for line in lines[:3]}) == 1


@pytest.mark.parametrize("options", [["-l", "--human"], ["--human"]])
def test_ls_human(storage, blobs, options):
    """With --human the size is one that a person reads."""
    lines = storage("ls", *options).lines
    assert [line[:12].strip() for line in lines] == ["1 B", "2 B", "", "4.9 KiB"]
    assert lines[3].endswith("Z z é")
    assert len({line.rindex(" ") for line in lines[:3]}) == 1


def test_ls_json(storage, blobs):
    """ObjectInfo's field names, times in ISO 8601; a folder has no size."""
    objects = storage("ls", "--json").objects
    assert [(o["key"], o["size"]) for o in objects] == [("a", 1), ("a-b", 2), ("a/", None), ("z é", 5000)]
    assert datetime.fromisoformat(objects[0]["last_modified"]) == blobs.info("a").last_modified
    assert len({tuple(o) for o in objects}) == 1
    assert [o["key"] for o in storage("ls", "-r", "--json").objects] == list(BLOBS)


def test_ls_of_a_type(storage, blobs):
    """--type names the storage type."""
    blobs.set("t", "1", "tmp")
    assert storage("ls", "--type", "tmp").lines == ["t"]
    ran = storage("ls", "--type", "nope")
    assert ran.status == 2
    assert "'data', 'tmp', 'result'" in ran.err


def test_du(storage, blobs):
    """Bytes and blobs, of all or below a prefix."""
    assert storage("du").lines == ["5010 bytes (4.9 KiB) in 5 blobs"]
    assert storage("du", "a/b").lines == ["3 bytes in 1 blob"]
    assert storage("du", "a/", "--json").objects == [{"prefix": "a/", "storage_type": "data", "bytes": 7, "blobs": 2}]


# ---- cp and mv -----------------------------------------------------------------------------------------------------


def test_cp(storage, blobs):
    """A copy with its headers, in the same type or another."""
    blobs.set("k", "x", content_type="a/b", metadata={"m": "1"})
    assert storage("cp", "k", "l") == (0, b"", "")
    (shown,) = storage("cp", "k", "k", "--new-type", "tmp", "--json").objects
    assert (shown["storage_type"], shown["metadata"]) == ("tmp", {"m": "1"})
    assert blobs.info("l").content_type == blobs.info("k", "tmp").content_type == "a/b"


def test_mv(storage, blobs):
    """The old blob is gone."""
    assert storage("mv", "a", "b/c").status == 0
    assert blobs.get("b/c") == "1"
    assert not blobs.exists("a")


@pytest.mark.parametrize("command", ["cp", "mv"])
def test_cp_and_mv_fail(storage, blobs, command):
    """Absent is status 1; --no-overwrite on a blob is status 3 and changes nothing; a bad key is status 2."""
    assert storage(command, "nope", "x").status == 1
    assert storage(command, "a", "a-b", "--no-overwrite").status == 3
    assert storage(command, "a", "x//y").status == 2
    assert storage(command, "a").status == 2
    assert {key: blobs.get(key) for key in blobs.list()} == BLOBS


# ---- another store ---------------------------------------------------------------------------------------------------


@pytest.fixture
def other(tmp_path):
    with Storage(f"file://{tmp_path}/other?fsync=false") as opened:
        yield opened


def test_cp_to_another_store(storage, blobs, other):
    """A blob goes to another store with its headers and metadata, under its own key unless another is given."""
    blobs.set(
        "k", b"\x00" * 3_000_000, content_type="a/b", cache_control="x", content_encoding="y", metadata={"m": "é"}
    )
    where = other.backend.location
    assert storage("cp", "k", "--new-url", where) == (0, b"", "")
    (shown,) = storage("cp", "k", "d/l", "--new-url", where, "--new-type", "tmp", "--json").objects
    assert (shown["key"], shown["storage_type"]) == ("d/l", "tmp")
    info = other.info("d/l", "tmp")
    assert (info.size, info.content_type, info.cache_control, info.content_encoding) == (3_000_000, "a/b", "x", "y")
    assert info.metadata == other.info("k").metadata == {"m": "é"}
    assert storage("cp", "k", "--new-url", where, "--no-overwrite").status == 3
    assert storage("cp", "nope", "--new-url", where).status == 1


def test_folders_and_patterns_to_another_store(storage, blobs, other, tmp_path):
    """-r and --glob take many; a path is a plain folder here, too."""
    where = other.backend.location
    assert storage("cp", "-r", "a", "--new-url", where).status == 0
    assert other.list() == ["a/b", "a/c/d"]
    assert storage("cp", "--glob", "a*", "x", "--new-url", where).status == 0
    assert other.list("x") == ["x/a", "x/a-b"]
    assert storage("cp", "-r", "a", "", "--new-url", str(tmp_path / "plain")).status == 0
    assert (tmp_path / "plain/c/d").read_text() == "4444"
    assert storage("mv", "--glob", "a/**", "--new-url", where).status == 0
    assert blobs.list("a/") == []
    assert other.list() == ["a/b", "a/c/d", "b", "c/d", "x/a", "x/a-b"]


def test_a_blob_that_changes_while_it_is_copied(storage, blobs, other, monkeypatch):
    """Bytes and headers of a copy are of one version, and one that changes each time is an error that says so."""
    real, left = FilesystemBackend.stream, [2]

    def changing(self, path, *args):
        stat, chunks = real(self, path, *args)
        if not left[0]:
            return Download(stat, chunks)
        left[0] -= 1
        blobs.set("a", f"newer {left[0]}", metadata={"version": str(left[0])})

        def replaced():
            yield next(chunks)
            raise PreconditionFailedError

        return Download(stat, replaced())

    monkeypatch.setattr(FilesystemBackend, "stream", changing)
    assert storage("cp", "a", "--new-url", other.backend.location, "--no-overwrite").status == 0
    assert (other.get("a"), other.info("a").metadata) == ("newer 0", {"version": "0"})
    left[0] = 1000
    ran = storage("mv", "a", "--new-url", other.backend.location)
    assert ran.status == 3
    assert "changed 3 times" in ran.err
    assert blobs.exists("a")


@pytest.mark.parametrize(
    "words", [["s3://b/k", "x"], ["k", "file:///x/k"], ["k", "gs://b/k", "--new-url", "memory://"]]
)
def test_keys_that_are_urls(storage, blobs, words):
    """A URL in place of a key is wrong usage, and the message names the options."""
    ran = storage("cp", *words)
    assert ran.status == 2
    assert "--url and --new-url" in ran.err


@pytest.mark.parametrize("command", ["cp", "mv"])
def test_patterns_in_one_store(storage, blobs, command):
    """What lies in the new folder already is neither copied nor moved, so that there is an end."""
    assert storage(command, "--glob", "**", "a/new").status == 0
    assert blobs.list("a/new/") == ["a/new/a", "a/new/a-b", "a/new/a/b", "a/new/a/c/d", "a/new/z é"]
    assert [key for key in blobs.list() if not key.startswith("a/new/")] == (list(BLOBS) if command == "cp" else [])
    assert storage(command, "--glob", "nope*", "x").status == 1


# ---- folders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command, left", [("cp", ["a/b", "a/c/d"]), ("mv", [])])
def test_folders(storage, blobs, command, left):
    """With -r all blobs below one folder go below another."""
    ran = storage(command, "-r", "a", "new/", "--json")
    assert [o["key"] for o in ran.objects] == ["new/b", "new/c/d"]
    assert blobs.list("a/") == left
    assert {key: blobs.get(key) for key in blobs.list("new/")} == {"new/b": "333", "new/c/d": "4444"}
    assert blobs.list("a")[:2] == ["a", "a-b"]


def test_folders_that_overlap(storage, blobs):
    """A folder into itself, or out of itself, would overwrite what is still to be moved: refused."""
    for old, new in (("a", "a"), ("a", "a/c"), ("a/c", "a"), ("", "x"), ("a", "")):
        assert storage("mv", "-r", old, new).status == 2
    assert storage("cp", "-r", "", "", "--new-type", "tmp").status == 0
    assert blobs.list(storage_type="tmp") == list(BLOBS)
    assert storage("cp", "-r", "nope", "x").status == 1
    assert {key: blobs.get(key) for key in blobs.list()} == BLOBS


# ---- signing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["sign", "a"], ["upload-url", "a"]])
@pytest.mark.parametrize("where", ["file", "memory"])
def test_signing_without_a_server(storage, blobs, words, where):
    """A URL that would die with the command is none: status 2, naming what to run."""
    ran = storage(*words, *(["--url", "memory://"] if where == "memory" else []))
    assert (ran.status, ran.out) == (2, b"")
    assert "storage serve" in ran.err
    assert ran.err.count("\n") == 1


def test_signing_with_a_server(storage, url, blobs):
    """With a serve_url a URL is printed alone, and --json has what a client must send."""
    served = f"{url}&serve_url=http://127.0.0.1:9"
    ran = storage("sign", "a", "z é", "--expires", "60", "--url", served)
    assert ran.status == 0
    assert len(ran.lines) == 2
    assert all(line.startswith("http://127.0.0.1:9/") for line in ran.lines)
    (line,) = storage("sign", "a", "--download-name", "Bericht für März.csv", "--url", served).lines
    assert "f%C3%BCr" in unquote(line)
    assert storage("sign", "a", "--download-name", "x", "--content-disposition", "inline", "--url", served).status == 2
    (shown,) = storage("upload-url", "n", "--content-type", "a/b", "--json", "--url", served).objects
    assert shown["method"] == "PUT"
    assert {name.lower(): value for name, value in shown["headers"].items()} == {"content-type": "a/b"}
    assert datetime.fromisoformat(shown["expires_at"]) > datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    ran = storage("upload-url", "n", "--content-type", "a/b", "--url", served)
    assert len(ran.lines) == 1
    assert "a/b" in ran.err
    assert ran.lines[0] not in ran.err


@pytest.mark.parametrize("seconds", ["0", "604801", "x"])
def test_signing_out_of_range(storage, url, seconds):
    """An expiry out of range is status 2."""
    assert storage("sign", "a", "--expires", seconds, "--url", f"{url}&serve_url=http://127.0.0.1:9").status == 2


def test_a_signed_url_of_s3_is_printed(storage, monkeypatch):
    """A cloud's URL is signed by the cloud's own rules, without a server and without the network."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    ran = storage("sign", "k", "--url", "s3://bucket?region=eu-central-1")
    assert ran.status == 0
    assert "X-Amz-Signature=" in ran.lines[0]


# ---- setup, gc and doctor -------------------------------------------------------------------------------------------------


def test_setup(storage, store, tmp_path):
    """What was changed is printed, once: run again it changes nothing and says so."""
    words = (
        "setup",
        "--create-bucket",
        "--cors-origin",
        "https://a.example",
        "--cors-origin",
        "http://b:1",
        "--tmp-days",
        "7",
    )
    ran = storage(*words)
    assert (ran.status, ran.err) == (0, "")
    assert (tmp_path / "store").is_dir()
    assert any("https://a.example, http://b:1" in line for line in ran.lines)
    assert any("7" in line for line in ran.lines)
    assert storage(*words) == (0, b"", "storage: nothing had to be changed\n")
    (changed,) = storage("setup", "--no-cors", "--json").objects
    assert list(changed) == ["changed"]
    assert store.backend.cors_origins == ()


@pytest.mark.parametrize(
    "words, status",
    [
        ([], 2),
        (["--no-cors", "--cors-origin", "*"], 2),
        (["--cors-origin", "a.example"], 2),
        (["--tmp-days", "0"], 2),
        (["--tmp-days", "1", "--type", "nope"], 2),
        (["--tmp-days", "1", "--url", "memory://"], 3),
    ],
)
def test_setup_that_cannot_be(storage, store, words, status):
    """Nothing to do, a contradiction or a bad value is status 2; what the backend cannot do is status 3."""
    ran = storage("setup", *words)
    assert ran.status == status
    assert ran.err.count("\n") == 1


def test_gc(storage, blobs):
    """Nothing to sweep is a message, and no output."""
    ran = storage("gc")
    assert (ran.status, ran.out) == (0, b"")
    assert "nothing to sweep" in ran.err


def test_gc_keeps_to_the_prefixes_of_the_store(storage, store, monkeypatch):
    """A bucket may hold what other programs left: each backend hears where the store's blobs are."""
    given = []
    monkeypatch.setattr(FilesystemBackend, "sweep", lambda self, prefixes: given.append(prefixes) or ["1 upload"])
    assert storage("gc").status == 0
    assert given == [("data/", "tmp/", "result/")]


def test_gc_of_expired_blobs(storage, blobs, tmp_path):
    """What expired is swept, and said."""
    import os
    import time

    blobs.set("old", "1", "tmp")
    blobs.set("young", "1", "tmp")
    blobs.setup(tmp_days=1)
    old = time.time() - 2 * 86400
    os.utime(tmp_path / "store/tmp/old", (old, old))
    ran = storage("gc", "--json")
    assert ran.status == 0
    assert any("1" in shown["swept"] for shown in ran.objects)
    assert blobs.list(storage_type="tmp") == ["young"]
    assert blobs.list() == list(BLOBS)


def test_doctor(storage, blobs):
    """A healthy store: every check is good, nothing is left behind, status 0."""
    ran = storage("doctor")
    assert ran.status == 0
    assert ran.err == ""
    checks = {line.split(": ")[0].split()[1] for line in ran.lines}
    assert checks >= {"configuration", "bucket", "write", "read", "list", "delete", "clock", "signing"}
    assert "WRONG" not in ran.out.decode()
    assert blobs.list() == list(BLOBS)


def test_doctor_of_a_store_that_is_not_there(storage, tmp_path, monkeypatch):
    """It says that the directory does not exist yet, and makes nothing; status 0. A path is as good as a URL."""
    monkeypatch.chdir(tmp_path)
    for words in (["--url", "phtos"], ["--url", f"file://{tmp_path}/phtos"], []):
        ran = storage("doctor", *words)
        assert ran.status == 0
        assert ran.lines[1:] == ["note  directory: it does not exist yet; the first write makes it"]
    assert list(tmp_path.iterdir()) == []


def test_doctor_counts_files_beside_the_blobs(storage, store, tmp_path):
    """Files outside of the storage types are counted, and the remedy is named; none of ours is among them."""
    store.set("k", "1")
    store.get_upload_url("k")
    assert not any("outside" in line for line in storage("doctor").lines)
    (tmp_path / "store/photos").mkdir()
    (tmp_path / "store/photos/a.jpg").write_text("1")
    (tmp_path / "store/b.jpg").write_text("1")
    ran = storage("doctor")
    assert ran.status == 0
    (line,) = [line for line in ran.lines if "outside" in line]
    assert line.startswith("note  directory: 2 files outside of data/, tmp/, result/")
    assert "?types=data:" in line


def test_doctor_leaves_nothing_in_a_folder(storage, tmp_path):
    """It looks: no key to sign with is made for it."""
    (tmp_path / "a.txt").write_text("mine")
    assert storage("doctor", "--url", str(tmp_path)).status == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_doctor_finds_a_secret_that_others_can_read(storage, store, tmp_path):
    """A secret that other users can read signs for them: that is wrong, and the line says what to run."""
    store.get_upload_url("k")
    store.set("k", "1")
    secret = tmp_path / "store/.storage~/secret"
    secret.chmod(0o640)
    ran = storage("doctor")
    assert ran.status == 3
    (line,) = [line for line in ran.lines if line.startswith("WRONG")]
    assert f"chmod 600 {secret}" in line
    assert secret.read_text().strip() not in ran.out.decode()
    secret.chmod(0o600)
    assert storage("doctor").status == 0


def test_doctor_counts_foreign_names(storage, blobs, tmp_path):
    """Names that are no keys are a note, not an error."""
    (tmp_path / "store/data/back\\slash").write_text("x")
    ran = storage("doctor", "--json")
    assert ran.status == 0
    notes = [shown for shown in ran.objects if (shown["check"], shown["state"]) == ("names", "note")]
    assert len(notes) == 1


@pytest.mark.parametrize(
    "url, words",
    [
        ("nowhere://x", "nowhere"),
        ("s3:bucket", "write s3://bucket"),
        ("s3://", "bucket"),
        ("file:///tmp/x?typo=1", "typo"),
        ("file:///nonexistent-root-of-storage/x?create=false", "does not exist"),
        ("s3://bucket?endpoint_url=http://127.0.0.1:9", "127.0.0.1|network|reached"),
    ],
)
def test_doctor_says_what_is_wrong(storage, url, words, monkeypatch):
    """Each fault is one line that says what it is; status 3."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr("storage._retry.sleep", lambda _seconds: None)
    ran = storage("doctor", "--url", url)
    assert ran.status == 3
    wrong = [line for line in ran.lines if line.startswith("WRONG")]
    assert len(wrong) == 1
    assert re.search(words, wrong[0])
    assert "Traceback" not in ran.err


def test_doctor_finds_a_server_that_ignores_conditions(storage, monkeypatch):
    """A server that overwrites in silence is wrong, and the line says so."""
    from storage.backends.memory import MemoryBackend

    put = MemoryBackend.put

    def careless(self, path, data, options):
        return put(self, path, data, options._replace(overwrite=True, if_match=None))

    monkeypatch.setattr(MemoryBackend, "put", careless)
    ran = storage("doctor", "--url", "memory://careless")
    assert ran.status == 3
    assert "overwrites in silence" in ran.out.decode()


def test_doctor_finds_a_wrong_clock(storage, monkeypatch):
    """A store whose clock is far away from this machine's is told from one whose is not."""
    from datetime import timedelta

    from storage.backends.memory import MemoryBackend

    put = MemoryBackend.put

    def late(self, path, data, options):
        stat = put(self, path, data, options)
        return stat._replace(last_modified=stat.last_modified + timedelta(minutes=20))

    monkeypatch.setattr(MemoryBackend, "put", late)
    ran = storage("doctor", "--url", "memory://late")
    assert ran.status == 3
    assert re.search(r"WRONG clock: this machine is 1,\d{3} seconds behind", ran.out.decode())


def test_doctor_finds_what_is_forbidden(storage, monkeypatch):
    """Credentials that may not do something are told so, by name of what they lack."""
    from storage import PermissionDeniedError
    from storage.backends.memory import MemoryBackend

    def forbidden(self, path):
        raise PermissionDeniedError

    monkeypatch.setattr(MemoryBackend, "delete", forbidden)
    ran = storage("doctor", "--url", "memory://forbidden")
    assert ran.status == 3
    assert any("WRONG delete: " in line and "permission to delete blobs" in line for line in ran.lines)


@pytest.mark.parametrize(
    "method, error, line",
    [
        ("bucket_exists", "StorageError", "WRONG bucket: "),
        ("bucket_exists", "PermissionDeniedError", "note  bucket: whether it exists may not be asked"),
        ("put", "BucketNotFoundError", "WRONG bucket: "),
        ("put", "IntegrityError", "WRONG write: "),
        ("get", "UnavailableError", "WRONG network: "),
        ("copy", "StorageError", "WRONG create-only copies: "),
        ("find_foreign_names", "UnavailableError", "WRONG names: "),
    ],
)
def test_doctor_goes_on_after_a_failure(storage, monkeypatch, method, error, line):
    """Whatever fails is a finding of its own, in words, and the rest is looked at as far as it can be."""
    import storage as library
    from storage.backends.memory import MemoryBackend

    def fail(self, *args, **options):
        raise getattr(library, error)("the very words")

    monkeypatch.setattr(MemoryBackend, method, fail, raising=False)
    ran = storage("doctor", "--url", "memory://failing")
    found = [said for said in ran.lines if "the very words" in said]
    assert any(said.startswith(line) for said in found), ran.lines
    assert ran.status == (3 if line.startswith("WRONG") else 0)
    assert "Traceback" not in ran.err


# ---- completion ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(storage, shell):
    """Each shell gets a script that calls the program back."""
    ran = storage("completion", shell)
    assert ran.status == 0
    assert b"_STORAGE_COMPLETE" in ran.out


def test_completion_of_keys(spawn, url):
    """A shell completes commands, keys and folders of the store, and types; and an error is no noise."""
    with Storage(url) as store:
        store.set_many(BLOBS)

    def complete(line: str, **more: str) -> list[str]:
        words = line.split(" ")
        ran = spawn(_STORAGE_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), **more)
        return [found.partition(",")[2] for found in ran.lines if found]

    assert complete("storage up") == ["upload-url"]
    assert complete("storage get a") == ["a", "a-b", "a/"]
    assert complete("storage get a/") == ["a/b", "a/c/"]
    assert complete("storage ls --type r") == ["result"]
    assert complete("storage get a", STORAGE_URL="nowhere") == []
