"""``AsyncStorage`` is ``Storage``, method by method."""

from __future__ import annotations

import inspect

import pytest

from storage import AsyncStorage, Storage

METHODS = sorted(name for name, _ in inspect.getmembers(Storage, inspect.isfunction) if not name.startswith("_"))
ITERATORS = {"get_many", "iter_bytes", "iter_dir", "iter_info", "iter_list", "map_keys"}


def test_no_method_is_missing_or_its_own():
    """Both classes have the same public names."""
    public = {name for name in dir(Storage) if not name.startswith("_")}
    assert {name for name in dir(AsyncStorage) if not name.startswith("_")} == public


@pytest.mark.parametrize("name", ["__init__", *METHODS])
def test_arguments_and_docstrings_are_the_same(name):
    """A method takes the same arguments, by the same names, with the same defaults, and says the same."""
    ours, theirs = getattr(AsyncStorage, name), getattr(Storage, name)
    shown = [
        [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]
        for method in (ours, theirs)
    ]
    assert shown[0] == shown[1]
    if name != "__init__":
        assert ours.__doc__ == theirs.__doc__


@pytest.mark.parametrize("name", METHODS)
def test_what_iterates_is_no_coroutine(name):
    """Everything is a coroutine but for what iterates, for ``open``, and for ``mapping``, whose users block."""
    assert inspect.iscoroutinefunction(getattr(AsyncStorage, name)) == (name not in ITERATORS | {"mapping", "open"})
