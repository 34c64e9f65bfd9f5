"""A real project: a model's file, the admin's upload, a page that shows it, static files."""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.request
import uuid
from datetime import timedelta
from html import unescape

import django
import pytest
from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.management import call_command

from storage import AlreadyExistsError
from storage.integrations.django import DjangoStorage
from tests.emulators.s3 import seaweedfs  # noqa: F401


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """The project, configured once: Django has one set of settings a process."""
    directory = tmp_path_factory.mktemp("django")
    (directory / "static").mkdir()
    (directory / "static" / "site.css").write_text("body { color: red }")
    backend = "storage.integrations.django.DjangoStorage"
    settings.configure(
        SECRET_KEY="not a secret",
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django.contrib.staticfiles",
            "tests.integrations.shop",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        ROOT_URLCONF="tests.integrations.shop.urls",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(directory / "db.sqlite3")}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ALLOWED_HOSTS=["testserver"],
        USE_TZ=True,
        STATIC_URL="/static/",
        STATICFILES_DIRS=[directory / "static"],
        STORAGES={
            "default": {"BACKEND": backend, "OPTIONS": {"url": f"file://{directory}/media"}},
            "staticfiles": {
                "BACKEND": backend,
                "OPTIONS": {"url": f"file://{directory}/public", "base_url": "/static/", "cache_control": "max-age=60"},
            },
        },
    )
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    yield directory
    from django.db import connections

    connections.close_all()


@pytest.fixture(params=["memory", "file", "s3"])
def files(request, project, tmp_path):
    """A file storage on each kind of store."""
    if request.param == "s3":
        server = request.getfixturevalue("seaweedfs")
        return DjangoStorage(server.url(), auth=server.auth)
    return DjangoStorage(f"memory://{uuid.uuid4().hex}" if request.param == "memory" else tmp_path)


@pytest.mark.parametrize("mode, data", [("wb", b"half"), ("w", "half")])
def test_a_block_that_fails(project, tmp_path, mode, data):
    """It stores nothing, and the old file stands."""
    files = DjangoStorage(tmp_path)
    with files.open("a.txt", mode) as file:
        file.write(data)
    for name in ("a.txt", "new.txt"):
        with pytest.raises(KeyError), files.open(name, mode) as file:
            _write_and_fail(file, data * 2)
    assert files.size("a.txt") == 4
    assert not files.exists("new.txt")


def _write_and_fail(file, data):
    file.write(data)
    raise KeyError


def test_files(files):
    """What Django asks of a file storage."""
    name = files.save("a/ü.txt", ContentFile("täxt"))
    assert name == "a/ü.txt"
    assert files.exists(name)
    assert files.size(name) == 5
    assert files.get_modified_time(name).tzinfo is not None
    assert files.get_created_time(name) == files.get_modified_time(name)
    with files.open(name) as file:
        assert isinstance(file, File)
        assert file.read() == "täxt".encode()
    with files.open(name, "r") as file:
        assert file.read() == "täxt"
    with files.open("b.bin", "wb") as file:
        file.write(b"\x00")
    assert files.listdir("") == (["a"], ["b.bin"])
    assert files.listdir("a/") == ([], ["ü.txt"])
    assert urllib.request.urlopen(files.url(name), timeout=10).read() == "täxt".encode()
    files.delete(name)
    files.delete(name)
    assert not files.exists(name)
    for call in (files.open, files.size, files.get_modified_time):
        with pytest.raises(FileNotFoundError):
            call(name)


def test_names_under_concurrent_saves(files):
    """Eight saves of one name at once get eight names, and no file is lost."""
    start = threading.Barrier(8)
    names = []

    def save(number):
        start.wait()
        names.append((files.save("report.txt", ContentFile(b"%d" % number)), b"%d" % number))

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({name for name, _ in names}) == 8
    for name, content in names:
        with files.open(name) as file:
            assert file.read() == content


def test_a_source_that_cannot_be_read_again(project, monkeypatch):
    """A taken name is an error then, not half a file."""
    files = DjangoStorage("memory://")
    files.save("x", ContentFile(b"1"))

    class Once:
        name = "x"

        def seekable(self):
            return False

        def read(self, *_):
            return b""

    with pytest.raises(AlreadyExistsError):
        files._save("x", Once())


def test_admin_upload_and_page(project):
    """A file goes up through the admin's form, and the page's link gives it back."""
    from django.contrib.auth.models import User
    from django.core.files.uploadedfile import SimpleUploadedFile
    from django.test import Client

    User.objects.create_superuser("admin", "a@example.org", "password")
    client = Client()
    client.login(username="admin", password="password")
    done = client.post("/admin/shop/picture/add/", {"file": SimpleUploadedFile("cat.png", b"\x89PNG", "image/png")})
    assert done.status_code == 302
    (link,) = re.findall(r'src="([^"]+)"', client.get("/").content.decode())
    answer = urllib.request.urlopen(unescape(link), timeout=10)
    assert answer.read() == b"\x89PNG"
    assert answer.headers["Content-Type"] == "image/png"
    assert (project / "media" / "data" / "pictures" / "cat.png").read_bytes() == b"\x89PNG"


def test_collectstatic(project):
    """Static files go to their own store, and what is unchanged stays."""
    call_command("collectstatic", interactive=False, verbosity=0)
    assert (project / "public" / "data" / "site.css").read_text() == "body { color: red }"
    from django.contrib.staticfiles.storage import staticfiles_storage

    assert staticfiles_storage.url("site.css") == "/static/site.css"
    before = staticfiles_storage.get_modified_time("site.css")
    call_command("collectstatic", interactive=False, verbosity=0)
    assert staticfiles_storage.get_modified_time("site.css") == before


def test_upload_forms(files):
    """A browser posts a file straight to the store, under a name that is free, and no more than the form allows."""
    files.save("pictures/cat.png", ContentFile(b"taken"))
    name = files.get_available_name("pictures/cat.png")
    assert name != "pictures/cat.png"
    form = files.sign_form(name, max_length=100, content_type="image/png")
    assert post(form, b"\x89PNG") in (200, 201, 204)
    with files.open(name) as file:
        assert file.read() == b"\x89PNG"
    assert files.storage.info(name).content_type == "image/png"
    assert post(form, bytes(200)) in (400, 403, 413)


def post(form, data):
    """The status of a browser's POST of a form with a file."""
    head = "".join(
        f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form.fields.items()
    )
    head += '--edge\r\nContent-Disposition: form-data; name="file"; filename="f"\r\nContent-Type: image/png\r\n\r\n'
    body = head.encode() + data + b"\r\n--edge--\r\n"
    request = urllib.request.Request(form.url, body, {"Content-Type": "multipart/form-data; boundary=edge"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_naive_times(project, settings_of):
    """Without USE_TZ times are naive, as Django's are."""
    files = DjangoStorage("memory://")
    files.save("x", ContentFile(b"1"))
    settings_of(USE_TZ=False, TIME_ZONE="UTC")
    assert files.get_modified_time("x").tzinfo is None


@pytest.fixture
def settings_of(project):
    from django.test import override_settings

    entered = []

    def change(**values):
        override = override_settings(**values)
        override.enable()
        entered.append(override)

    yield change
    for override in entered:
        override.disable()


def test_migrations_know_it(project):
    """A field that names its storage goes into a migration."""
    from django.db.migrations.writer import MigrationWriter

    text, imports = MigrationWriter.serialize(DjangoStorage("memory://x", expires_in=timedelta(hours=1)))
    assert text.startswith("storage.integrations.django.DjangoStorage('memory://x'")
    assert "import storage.integrations.django" in imports


def test_urls(project):
    """A base URL is joined with the quoted name; a file without a name has none."""
    files = DjangoStorage("memory://", base_url="https://cdn.example.org/m/")
    assert files.url("a b/é.png") == "https://cdn.example.org/m/a%20b/%C3%A9.png"
    with pytest.raises(ValueError, match="no name"):
        files.url(None)
