"""The installed program: its statuses, streams and signals, on a terminal and off it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from storage import Storage
from storage.cli import _app, _run
from tests.cli.conftest import environment, program


def start(*argv, url, cwd, **options):
    """The program, running."""
    return subprocess.Popen(program(*argv), cwd=cwd, env=environment(STORAGE_URL=url), **options)


def wait_for(condition, seconds=20.0):
    """Waits until ``condition()`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def asleep(pid):
    """Whether a process waits for something: this one for more input."""
    time.sleep(0.002)
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


# ---- statuses ------------------------------------------------------------------------------------------------------


def test_statuses(spawn, store):
    """0 done, 1 not there, 2 wrong usage, 3 any other error: one line on standard error, no traceback."""
    store.set("k", "1")
    for words, status in (
        (["get", "k"], 0),
        (["get", "nope"], 1),
        (["get", "k//"], 2),
        (["nope"], 2),
        (["set", "k", "--text", "x", "--no-overwrite"], 3),
    ):
        ran = spawn(*words)
        assert ran.status == status, words
        assert ran.err.count("\n") == (status != 0)
        assert "Traceback" not in ran.err


def test_errors_never_show_a_secret(spawn):
    """A URL's query is not repeated."""
    ran = spawn("ls", "--url", "s3://bucket?anonymous=perhaps&profile=hunter2")
    assert ran.status == 2
    assert "hunter2" not in ran.err


def test_debug_shows_the_traceback(spawn, store):
    """--debug shows where an error came from, and logs each call."""
    ran = spawn("--debug", "get", "nope")
    assert ran.status == 1
    assert "Traceback" in ran.err
    assert re.search(r"type=data key='nope' bytes=", ran.err)


def test_the_script_is_installed():
    """The package declares the program."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '\nstorage = "storage.cli:main"\n' in text


def test_without_its_packages(tmp_path):
    """Without the extra the program says what to install; status 2."""
    code = "import sys; sys.modules['click'] = None; from storage.cli import main; sys.exit(main(['ls']))"
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert "pip install 'storage-facade[cli]'" in ran.stderr


def test_every_command_has_url_type_and_help():
    """Every command takes --url and --type, has a text and examples that begin with its name, and is registered once."""
    assert set(_app.app.commands) == {
        "set", "get", "cat", "ls", "info", "exists", "rm", "cp", "mv", "sign", "upload-url", "serve", "sync", "du", "setup", "gc",
        "doctor", "completion",
    }  # fmt: skip
    for name, command in _app.app.commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert options >= {"--url", "--type"}, name
        assert command.help
        assert command.examples
        assert all(f"storage {name} " in f"{example} " for example in command.examples), name
    assert len(_run.COMMANDS) == len(set(_run.COMMANDS))


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["sync", "--help"], ["ls", "-h"]])
def test_help(storage, words):
    """Help goes to standard output, with examples for a command."""
    ran = storage(*words)
    assert (ran.status, ran.err) == (0, "")
    assert ("Examples:" in ran.out.decode()) is (len(words) == 2)


def test_alone(storage):
    """Alone it prints its help, as --help does, in lines that can be read."""
    ran = storage()
    assert ran == storage("--help")
    assert len(ran.lines) > 20
    assert all(len(line) <= 100 for line in ran.lines)


def test_version(storage):
    """The version is told."""
    assert storage("--version").out.startswith(b"storage ")


def test_nothing_loads_what_it_does_not_need():
    """A command on files loads no SDK, no server and no Rich: it should start as fast as Python allows."""
    code = (
        "import sys; from storage.cli import main; main(['ls']);"
        "bad = {'boto3', 'google', 'starlette', 'uvicorn', 'rich'} & {name.partition('.')[0] for name in sys.modules};"
        "sys.exit(str(bad) if bad else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


# ---- streams -------------------------------------------------------------------------------------------------------


def test_a_broken_pipe_is_silent(store, url, tmp_path):
    """Who reads the first lines alone gets them, and not a word more."""
    store.set_many({f"{number:04}": "" for number in range(1500)})
    store.set("big", b"x" * 5_000_000)
    for words in (["ls", "-r", "-l"], ["ls", "-r", "--json"], ["get", "big"]):
        process = start(*words, url=url, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
        process.stderr.close()


def test_without_a_locale(spawn, store):
    """Keys are printed as UTF-8, and taken so, where no locale is set."""
    store.set("é/😀", "x")
    assert spawn("ls", "-r", LC_ALL="C").out == "é/😀\n".encode()
    assert spawn("get", "--keys-from", "-", "out", stdin="é/😀\n".encode(), LC_ALL="C").status == 0


# ---- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_while_storing(store, url, tmp_path, number, status):
    """Interrupted in the middle of a blob, the old one stands, nothing half written is left, and there is no traceback."""
    store.set("k", "old")
    process = start("set", "k", url=url, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"x" * 3_000_000)
    process.stdin.flush()
    home = tmp_path / "store/.storage~"
    wait_for(lambda: sum(p.stat().st_size for p in home.rglob("*") if p.is_file()) > 2_000_000)
    wait_for(lambda: all(asleep(process.pid) for _ in range(20)))
    process.send_signal(number)
    assert process.wait(20) == status
    process.stdin.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    assert store.get("k") == "old"
    assert sum(p.stat().st_size for p in home.rglob("*") if p.is_file()) < 1000


def test_interrupted_while_getting(store, url, tmp_path):
    """Interrupted while a folder is written, each file is whole, and no temporary file is left."""
    data = b"x" * 300_000
    store.set_many({f"{number:03}": data for number in range(400)})
    out = tmp_path / "out"
    process = start("get", "-r", "", "out", url=url, cwd=tmp_path, stderr=subprocess.PIPE)
    wait_for(lambda: out.is_dir() and len(os.listdir(out)) > 5)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    assert all((out / name).stat().st_size == len(data) for name in os.listdir(out))
    assert not [name for name in os.listdir(out) if name.startswith(".")]


# ---- terminals -----------------------------------------------------------------------------------------------------


def on_terminal(*argv, url, cwd, both=False, **variables):
    """Status, standard output, and what a terminal showed; ``both``: standard output is the terminal too."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, b"\x28\x00\xa0\x00\x00\x00\x00\x00")
    out = slave if both else subprocess.PIPE
    env = environment(**{"STORAGE_URL": url, "TERM": "xterm-256color", **variables})
    process = subprocess.Popen(program(*argv), cwd=cwd, env=env, stdin=slave, stdout=out, stderr=slave)
    os.close(slave)
    shown = b""
    while True:
        if select.select([master], [], [], 0.1)[0]:
            try:
                piece = os.read(master, 65536)
            except OSError:  # EIO: the other end is closed
                break
            if not piece:
                break
            shown += piece
        elif process.poll() is not None and not both:
            break
    os.close(master)
    printed = b""
    if process.stdout is not None:
        printed = process.stdout.read()
        process.stdout.close()
    return process.wait(), printed, shown.decode()


@pytest.fixture
def large(tmp_path):
    """A file that takes a moment."""
    path = tmp_path / "large"
    path.write_bytes(os.urandom(1_000_000) * 60)
    return str(path)


def test_progress_on_a_terminal(store, url, tmp_path, large):
    """On a terminal a bar shows bytes and rate on standard error; standard output has none of it."""
    status, printed, shown = on_terminal("set", "k", large, "--json", url=url, cwd=tmp_path)
    assert status == 0
    assert b"\x1b" not in printed
    assert printed.count(b"\n") == 1
    assert re.search(r"\d+\.\d/57\.2 MiB", shown)
    assert "\x1b[" in shown


def test_progress_of_a_sync(store, url, tmp_path):
    """Blobs, bytes, rate and time left."""
    store.set_many({f"{number:03}": b"x" * 100_000 for number in range(150)})
    status, printed, shown = on_terminal(
        "sync", url, f"file://{tmp_path}/copy", "--bwlimit", "40M", url=url, cwd=tmp_path
    )
    assert (status, printed) == (0, b"")
    assert re.search(r"copying.*\d+/150 blobs.*/14\.3 MiB.*MB/s.*\d:\d\d:\d\d", shown)
    assert "150 copied (14.3 MiB)" in shown


def test_progress_of_ranges(spawn, store, url, tmp_path):
    """With workers the bar counts key ranges, blobs, bytes and rate; off a terminal there is the summary alone."""
    store.set_many({f"{number:03}": b"x" * 1_000 for number in range(150)})
    words = ("sync", url, f"file://{tmp_path}/copy", "--processes", "1")
    status, printed, shown = on_terminal(*words, url=url, cwd=tmp_path)
    assert (status, printed) == (0, b"")
    assert re.search(r"syncing .*[1-9]/\d+ ranges, [1-9]\d* blobs, \d+\.\d KiB copied, \d.*B/s.*\d:\d\d:\d\d", shown)
    assert "150 copied (146.5 KiB)" in shown.splitlines()[-1]
    ran = spawn("sync", url, f"file://{tmp_path}/second", "--processes", "1")
    assert (ran.status, ran.out, ran.err) == (0, b"", "storage: 150 copied (146.5 KiB); 0 there already\n")


def test_no_progress_off_a_terminal(spawn, store, large):
    """Into a file or a pipe there is no bar, and no colour."""
    ran = spawn("set", "k", large)
    assert (ran.status, ran.out, ran.err) == (0, b"", "")


def test_colours_on_a_terminal(store, url, tmp_path):
    """Folders are coloured on a terminal, unless NO_COLOR or a dumb terminal says no; a pipe never gets colours."""
    store.set("folder/x", "1")
    assert "\x1b[" in on_terminal("ls", url=url, cwd=tmp_path, both=True)[2]
    assert on_terminal("ls", url=url, cwd=tmp_path, both=True, NO_COLOR="1")[2] == "folder/\r\n"
    assert on_terminal("ls", url=url, cwd=tmp_path, both=True, TERM="dumb")[2] == "folder/\r\n"
    assert on_terminal("ls", url=url, cwd=tmp_path)[1] == b"folder/\n"


def test_progress_without_colours(store, url, tmp_path, large):
    """NO_COLOR takes the colours of the bar away, a dumb terminal the bar."""
    shown = on_terminal("set", "k", large, url=url, cwd=tmp_path, NO_COLOR="1")[2]
    assert "57.2 MiB" in shown
    assert not re.search(r"\x1b\[[0-9;]*3[0-9](;[0-9]+)*m", shown)
    assert on_terminal("set", "k", large, url=url, cwd=tmp_path, TERM="dumb")[2] == ""


def test_keys_cannot_move_the_cursor(url, tmp_path):
    """Control characters, which keys=raw allows, are shown as escapes on a terminal."""
    code = (
        "import sys; from storage import Storage; from storage.cli import main;"
        "Storage('memory://t?keys=raw').set('evil\\x1b[2J\\n', 'x'); sys.exit(main(['ls', '--url', 'memory://t?keys=raw']))"
    )
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(TERM="xterm"), stdout=slave, stderr=slave, check=False
    )
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert done.returncode == 0
    assert shown == "evil\\x1b[2J\\n\r\n"


def test_nothing_is_left_in_the_home(spawn, store, tmp_path):
    """A command on a store of its own URL writes nowhere else."""
    home = tmp_path / "home"
    home.mkdir()
    assert spawn("ls", HOME=str(home)).status == 0
    assert list(home.iterdir()) == []


def test_the_default_store(spawn, tmp_path):
    """Without a URL it is the user's own store, the same for every command."""
    variables = {"STORAGE_URL": "", "XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path)}
    assert spawn("set", "k", "--text", "mine", **variables).status == 0
    assert spawn("get", "k", **variables).out == b"mine"
    assert Storage(tmp_path / "data/storage-facade").get("k") == "mine"


def test_ls_of_a_store_that_is_not_there(url, tmp_path):
    """On a terminal a mistyped path is told from an empty store; status 0, nothing on standard output, nothing made."""
    status, printed, shown = on_terminal("ls", "--url", "phtos", url=url, cwd=tmp_path)
    assert (status, printed) == (0, b"")
    assert re.fullmatch(r"storage: file://\S+/phtos does not exist yet; the first write makes it\r\n", shown)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "photos").mkdir()
    assert on_terminal("ls", "--url", "photos", url=url, cwd=tmp_path) == (0, b"", "")


def test_ls_of_a_store_that_is_not_there_in_a_script(spawn, tmp_path):
    """Off a terminal nothing is said."""
    assert spawn("ls", "--url", "phtos") == (0, b"", "")
