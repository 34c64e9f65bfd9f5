"""Django: a file storage named in the settings."""

import django
from django.conf import settings
from django.core.files.base import ContentFile

settings.configure(
    USE_TZ=True,
    STORAGES={
        "default": {
            "BACKEND": "storage.integrations.django.DjangoStorage",
            "OPTIONS": {"url": "memory://", "base_url": "https://cdn.example.org/"},
        }
    },
)
django.setup()

from django.core.files.storage import default_storage as files  # noqa: E402 (it reads the settings)

first, second = (files.save("report.txt", ContentFile(text)) for text in ("one", "two"))
assert first == "report.txt" != second
with files.open(second) as file:
    assert file.read() == b"two"
assert files.url(first) == "https://cdn.example.org/report.txt"
assert files.get_modified_time(first).tzinfo is not None
