"""Writes docs/capabilities.md: what each backend and each tried server does, from the harnesses of the conformance suite.

    python docs/generate_capabilities.py

A lack that no row names, and a test that the suite does not have, is an error.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "capabilities.md"
sys.path.insert(0, str(ROOT))

from storage import Storage  # noqa: E402
from storage.testing import Conformance, Harness, Lack  # noqa: E402
from tests.conformance.harnesses import FilesystemHarness, MemoryHarness  # noqa: E402
from tests.conformance.test_gcs import GCSHarness  # noqa: E402
from tests.conformance.test_s3 import MotoHarness, MotoServerHarness, SeaweedFSHarness  # noqa: E402

INTRODUCTION = """# Capabilities

<!-- Written by `python docs/generate_capabilities.py` from the harnesses of the conformance suite; do not edit. -->

This table says what each backend does, and each server that the tests run against. The [conformance suite](conformance.md)
asserts every cell: a **yes** by the tests of that row, any other word by a test of what happens instead. The suite fails when a
server begins to do something that it is said to lack.

Amazon S3 and Google Cloud Storage themselves were not tried: no test of this project has an account there. For other
servers see [providers](providers.md), and ask your own: `storage doctor --url URL` tries the most important rows for real.
"""


class Column(NamedTuple):
    """A store that the suite runs on."""

    title: str
    harness: type[Harness]


class Row(NamedTuple):
    """Something that a program may ask for, and what the suite knows of it."""

    title: str
    tests: tuple[str, ...]
    lacks: tuple[Lack, ...] = ()
    served: bool = False  # needs something that answers signed URLs


COLUMNS = (
    Column("`memory://`", MemoryHarness),
    Column("`file://`", FilesystemHarness),
    Column("`s3://` on SeaweedFS", SeaweedFSHarness),
    Column("`s3://` on moto's server", MotoServerHarness),
    Column("`s3://` in `mock_aws`", MotoHarness),
    Column("`gs://` on fake-gcs-server, strict proxy", GCSHarness),
)

ROWS = (
    Row(
        "every allowed key; `a` beside `a/b`",
        ("test_nasty_keys_are_written_and_read", "test_nasty_keys_are_listed", "test_a_key_beside_its_folder"),
        (Lack.CASE,),
    ),
    Row("a write is whole or not at all", ("test_a_write_that_fails_changes_nothing", "test_readers_see_old_or_new")),
    Row("ranges, and the last bytes", ("test_ranges", "test_the_last_bytes")),
    Row("a read is of one version", ("test_replaced_while_open", "test_iter_bytes_while_replaced")),
    Row("metadata, cache control, encoding", ("test_metadata", "test_headers")),
    Row(
        "content type as it was given",
        ("test_content_type_as_given", "test_content_type_by_suffix"),
        (Lack.OCTET_STREAM,),
    ),
    Row("`overwrite=False`, small blobs", ("test_create_only",), (Lack.CREATE_ONLY,)),
    Row("`overwrite=False`, blobs in parts", ("test_conditions_on_a_large_blob",), (Lack.LARGE_CREATE_ONLY_IGNORED,)),
    Row(
        "`overwrite=False` on `a` where only `a/b` is",
        ("test_create_only_beside_a_folder",),
        (Lack.CREATE_ONLY_BESIDE_FOLDER,),
    ),
    Row("`if_match` on a write, small blobs", ("test_if_match",), (Lack.IF_MATCH,)),
    Row("`if_match` on a write, blobs in parts", ("test_conditions_on_a_large_blob",), (Lack.LARGE_IF_MATCH_IGNORED,)),
    Row(
        "`delete` and `move` with `if_match`",
        ("test_delete_of_one_version", "test_lock_with_an_owner"),
        (Lack.DELETE_IF_MATCH, Lack.DELETE_IF_MATCH_IGNORED),
    ),
    Row(
        "`copy` and `move` with `overwrite=False`",
        ("test_create_only_copy",),
        (Lack.CREATE_ONLY_COPY, Lack.CREATE_ONLY_COPY_IGNORED),
    ),
    Row(
        "`set_metadata` without the bytes",
        ("test_set_metadata", "test_set_metadata_on_a_condition"),
        (Lack.SET_METADATA,),
    ),
    Row(
        "one winner among writers at the same moment",
        ("test_create_only_has_one_winner", "test_compare_and_swap", "test_delete_has_one_winner"),
        (Lack.RACES,),
    ),
    Row("listings in byte order", ("test_order", "test_bounds", "test_pages"), (Lack.LISTING_ORDER,)),
    Row("a prefix disappears with its last blob", ("test_emptied_folders_go",), (Lack.EMPTY_FOLDERS,)),
    Row("use in a forked child", ("test_parent_and_child_after_fork", "test_begun_before_a_fork"), (Lack.FORK,)),
    Row("signed URLs can be made", ("test_download", "test_upload"), (Lack.SIGNING,)),
    Row("… and are answered", ("test_download", "test_ranges_and_conditions", "test_upload"), (Lack.HTTP,)),
    Row(
        "… an altered one is refused",
        ("test_altered_in_each_parameter", "test_bound_options_bind"),
        (Lack.SIGNATURES,),
        served=True,
    ),
    Row(
        "… one with a second signature is refused",
        ("test_altered_in_each_parameter",),
        (Lack.SIGNED_TWICE,),
        served=True,
    ),
    Row("… an expired one is refused", ("test_expired",), (Lack.EXPIRY,), served=True),
    Row("… with `overwrite=False`", ("test_create_only_upload",), (Lack.SIGNED_CREATE_ONLY,), served=True),
    Row("… with an MD5", ("test_bound_md5_of_another_body",), (Lack.SIGNED_MD5,), served=True),
    Row("… headers of the answer, on HEAD too", ("test_response_headers",), (Lack.SIGNED_HEAD_HEADERS,), served=True),
)

# What a cell says of a lack that is neither refused nor ignored.
_WORDS = {
    Lack.RACES: "one at a time",
    Lack.CREATE_ONLY_BESIDE_FOLDER: "may refuse",
    Lack.EMPTY_FOLDERS: "with a delay",
    Lack.LISTING_ORDER: "other order",
    Lack.OCTET_STREAM: "not all",
}
_LOCAL = {"memory": "memory://", "file": "file:///tmp/store", "s3": "s3://bucket?region=eu-west-1", "gs": "gs://bucket"}


def _cell(column: Column, row: Row) -> str:
    lacks = column.harness.lacks
    if row.served and Lack.HTTP in lacks:
        return "not tried"
    for lack in row.lacks:
        if lack in lacks:
            return f"**{_WORDS.get(lack, 'refused' if 'is refused' in lack.value or 'are refused' in lack.value else 'no')}**"
    return "yes"


def _check() -> None:
    """Fails where a row names a test that is not there, or a lack has no row."""
    missing = [test for row in ROWS for test in row.tests if not hasattr(Conformance, test)]
    unnamed = set(Lack) - {lack for row in ROWS for lack in row.lacks}
    if missing or unnamed:
        raise SystemExit(f"tests that are not in the suite: {missing}; lacks without a row: {unnamed}")


def _number(value: int | None) -> str:
    if value is None:
        return "–"
    return f"{value // 2**20} MiB" if value >= 2**20 else f"{value // 1024} KiB" if value >= 1024 else f"{value:,}"


def _sizes() -> str:
    backends = {scheme: Storage(url).backend for scheme, url in _LOCAL.items()}
    rows = (
        ("calls at once in a batch", "concurrency"),
        ("blobs to one request of `delete_many`", "batch_size"),
        ("bytes of a piece of an upload", "chunk_size"),
        ("parallel ranges from", "parallel_from"),
    )
    lines = [
        f"| {title} | {' | '.join(_number(getattr(backend, name)) for backend in backends.values())} |"
        for title, name in rows
    ]
    head = f"| | {' | '.join(f'`{scheme}://`' for scheme in backends)} |\n| --- |{' ---: |' * len(backends)}"
    return "\n".join([head, *lines])


def page() -> str:
    """The text of the page."""
    _check()
    table = [f"| | {' | '.join(column.title for column in COLUMNS)} |", f"| --- |{' --- |' * len(COLUMNS)}"]
    table += [f"| {row.title} | {' | '.join(_cell(column, row) for column in COLUMNS)} |" for row in ROWS]
    reasons = []
    for column in COLUMNS:
        lines = [f"- {reason}: {lack.value}" for lack, reason in column.harness.lacks.items()]
        reasons.append(f"{column.title}\n\n" + ("\n".join(lines) if lines else "- nothing is missing"))
    tests = [f"- {row.title}: {', '.join(f'`{test}`' for test in row.tests)}" for row in ROWS]
    return (
        "\n\n".join(
            [INTRODUCTION.rstrip(), "\n".join(table), _WHY, *reasons, _MORE, _sizes(), _TESTS, "\n".join(tests)]
        )
        + "\n"
    )


_WHY = """## Why a cell does not say yes

Each line has the reason, and then what the suite asserts instead. `mock_aws` is moto in the process of the test; the strict
proxy in front of fake-gcs-server refuses what Cloud Storage documents that it refuses."""

_MORE = """## Sizes

These are attributes of `storage.backend`; a batch's `concurrency=` and a program that sets the attribute win. `file://` runs one
change at a time with `fsync=false`."""

_TESTS = """## Beside the suite

These differ by nature, and have tests of their own:

- `setup(tmp_days=…)` is refused on `memory://`; on `file://` the blobs expire when `storage gc` runs; on the clouds
  the service deletes them.
- `file://` works on Linux and macOS, not on Windows.
- `memory://` lives as long as its process, and a process that was spawned does not see it.
- moto does not check the limits of a form (`sign_form`), and Cloudflare R2 does not know forms.

## The tests behind each row"""

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
