"""The exceptions: the tree that users catch by, what each carries, and that it survives a trip between processes."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from storage import exceptions
from storage.exceptions import (
    AlreadyExistsError,
    AuthenticationError,
    BucketNotFoundError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    StorageTimeoutError,
    UnavailableError,
)

ALL = [getattr(exceptions, name) for name in exceptions.__all__]

BUILTIN = {
    "NotFoundError": LookupError,
    "InvalidKeyError": ValueError,
    "InvalidStorageTypeError": ValueError,
    "NotTextError": ValueError,
    "ConfigurationError": ValueError,
    "MissingDependencyError": ImportError,
    "StorageTimeoutError": TimeoutError,
}


def test_all_is_every_exception_sorted():
    """``__all__`` is exactly the module's exceptions, in order."""
    defined = [name for name, value in vars(exceptions).items() if inspect.isclass(value) and not name.startswith("_")]
    defined = [name for name in defined if issubclass(getattr(exceptions, name), BaseException)]
    assert exceptions.__all__ == sorted(defined)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_each_is_a_storage_error(kind):
    """One ``except StorageError`` catches them all."""
    assert issubclass(kind, StorageError)


@pytest.mark.parametrize("name, builtin", BUILTIN.items(), ids=BUILTIN)
def test_builtin_bases(name, builtin):
    """Who knows only Python's own exceptions catches the right one."""
    assert issubclass(getattr(exceptions, name), builtin)


def test_no_other_builtin_bases():
    """An exception that is no LookupError, ValueError and so on is not caught by accident."""
    for kind in ALL:
        also = {
            base for base in (LookupError, ValueError, ImportError, TimeoutError, OSError) if issubclass(kind, base)
        }
        expected = BUILTIN.get(kind.__name__)
        assert also == ({expected, *(() if expected is not TimeoutError else (OSError,))} if expected else set()), kind


@pytest.mark.parametrize(
    "kind, base",
    [
        (AlreadyExistsError, PreconditionFailedError),
        (AuthenticationError, PermissionDeniedError),
        (StorageTimeoutError, UnavailableError),
    ],
)
def test_families(kind, base):
    """The finer exception is caught as the coarser one."""
    assert issubclass(kind, base)


def test_missing_bucket_is_not_a_missing_blob():
    """``except NotFoundError`` never swallows a misspelt bucket."""
    assert not issubclass(BucketNotFoundError, NotFoundError)


def test_tree_is_drawn_in_the_docstring():
    """The docstring's tree names every exception, under the base that it has."""
    lines = (re.match(r"(\s*(?:│\s*)?(?:[├└]── )?)(\w+Error)\b", line) for line in exceptions.__doc__.splitlines())
    tree = [(len(match[1]), match[2]) for match in lines if match]
    assert sorted(name for _, name in tree) == exceptions.__all__
    stack: list[tuple[int, str]] = []
    for depth, name in tree:
        while stack and stack[-1][0] >= depth:
            stack.pop()
        if stack:
            assert getattr(exceptions, name).__bases__[0].__name__ == stack[-1][1]
        stack.append((depth, name))


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_carries_and_survives(kind):
    """Key, type and URL are on the exception, and pickle and copy keep them, the message and the class."""
    error = kind("fact: 'x'; remedy", key="a/b", storage_type="tmp", url="s3://bucket")
    for twin in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert (str(twin), twin.key, twin.storage_type, twin.url) == ("fact: 'x'; remedy", "a/b", "tmp", "s3://bucket")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_bare(kind):
    """Raised bare, as a backend does, there is no key, type or URL, and the text is empty."""
    with pytest.raises(kind) as caught:
        raise kind
    error = caught.value
    assert (str(error), error.key, error.storage_type, error.url) == ("", None, None, None)


def test_a_subclass_of_a_user_survives_pickling():
    """A third party's own subclass keeps its class."""
    twin = pickle.loads(pickle.dumps(Custom("x", key="k")))
    assert type(twin) is Custom
    assert twin.key == "k"


class Custom(NotFoundError):
    pass
