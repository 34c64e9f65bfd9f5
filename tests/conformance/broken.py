"""Backends with one fault each, of the kind that real ones have, and the test of the suite that must find it."""

from __future__ import annotations

import gzip
import time
import unicodedata
from collections.abc import Callable
from email.header import decode_header, make_header
from typing import Any
from urllib.parse import unquote

from storage import NotFoundError, Storage
from storage._facade.signing import sign as served_sign
from storage.backends import Download, PutOptions
from storage.backends.memory import MemoryBackend
from tests.conformance.harnesses import LocalHarness

FAULTS: dict[str, tuple[type[MemoryBackend], str]] = {}


def fault(test: str) -> Callable[[type[MemoryBackend]], type[MemoryBackend]]:
    def keep(cls: type[MemoryBackend]) -> type[MemoryBackend]:
        FAULTS[cls.__name__] = (cls, test)
        return cls

    return keep


def renaming(name: str, change: Callable[[str], str], test: str) -> None:
    """A backend that changes the names of blobs."""

    class Renaming(MemoryBackend):
        def put(self, path, data, options):
            return super().put(change(path), data, options)

        def get(self, path, *args, **kwargs):
            return super().get(change(path), *args, **kwargs)

        def stat(self, path):
            return super().stat(change(path))

        def delete(self, path, *, if_match=None):
            super().delete(change(path), if_match=if_match)

        def _copy(self, source, target, **kwargs):
            return super()._copy(change(source), change(target), **kwargs)

    FAULTS[name] = (type(name, (Renaming,), {}), test)


renaming("FoldsCase", str.lower, "test_nasty_keys_are_written_and_read")
renaming("Normalises", lambda path: unicodedata.normalize("NFC", path), "test_nasty_keys_are_listed")
renaming("Decodes", unquote, "test_nasty_keys_are_written_and_read")
renaming("StripsBlanks", str.strip, "test_nasty_keys_are_written_and_read")
renaming("TakesPlusForBlank", lambda path: path.replace("+", " "), "test_nasty_keys_are_listed")
renaming("CutsAtTheQuestionMark", lambda path: path.partition("?")[0], "test_nasty_keys_are_listed")
renaming("ShortensNames", lambda path: path[:800], "test_longest_keys_in_every_type")


def storing(name: str, change: Callable[[PutOptions], PutOptions], test: str) -> None:
    """A backend that stores with other options than it was told."""

    class Storing(MemoryBackend):
        def put(self, path, data, options):
            return super().put(path, data, change(options))

    FAULTS[name] = (type(name, (Storing,), {}), test)


def decoded(options: PutOptions) -> PutOptions:
    values = {}
    for name, value in options.metadata.items():
        try:
            values[name] = str(make_header(decode_header(value))) if "=?" in value else value
        except Exception:
            values[name] = value
    return options._replace(metadata=values)


storing("OverwritesAlways", lambda o: o._replace(overwrite=True), "test_create_only")
storing("IgnoresIfMatch", lambda o: o._replace(if_match=None), "test_if_match")
storing("DropsMetadata", lambda o: o._replace(metadata={}), "test_metadata")
storing("StripsMetadata", lambda o: o._replace(metadata={n: v.strip() for n, v in o.metadata.items()}), "test_metadata")
storing("DecodesMetadata", decoded, "test_metadata")
storing(
    "DropsEmptyMetadata", lambda o: o._replace(metadata={n: v for n, v in o.metadata.items() if v}), "test_metadata"
)
storing("DropsCacheControl", lambda o: o._replace(cache_control=None), "test_headers")
storing("DropsContentEncoding", lambda o: o._replace(content_encoding=None), "test_headers")
storing("LowersContentType", lambda o: o._replace(content_type=o.content_type.lower()), "test_content_type_as_given")
storing("OneContentType", lambda o: o._replace(content_type="binary/octet-stream"), "test_content_type_by_suffix")


@fault("test_create_only_has_one_winner")
class ChecksFirst(MemoryBackend):
    def put(self, path, data, options):
        if not options.overwrite and path in self._blobs:
            return super().put(path, data, options)
        time.sleep(0.03)
        return super().put(path, data, options._replace(overwrite=True))


@fault("test_compare_and_swap")
class ComparesFirst(MemoryBackend):
    def put(self, path, data, options):
        if options.if_match is not None and path in self._blobs and self._blobs[path][1].etag == options.if_match:
            time.sleep(0.01)
            options = options._replace(if_match=None)
        return super().put(path, data, options)


@fault("test_compare_and_swap")
class NeverMatches(MemoryBackend):
    def put(self, path, data, options):
        return super().put(path, data, options if options.if_match is None else options._replace(if_match="another"))


@fault("test_if_match")
class AbsentIsNotFound(MemoryBackend):
    def put(self, path, data, options):
        if options.if_match is not None:
            self.stat(path)
        return super().put(path, data, options)


@fault("test_etags")
class EtagIsTheSize(MemoryBackend):
    def put(self, path, data, options):
        stat = super().put(path, data, options)
        self._blobs[path] = (data, stat._replace(etag=str(len(data))))
        return self._blobs[path][1]


@fault("test_set_returns_what_info_says")
class ReturnsAnotherEtag(MemoryBackend):
    def put(self, path, data, options):
        return super().put(path, data, options)._replace(etag="other")


@fault("test_last_modified_is_now_in_utc")
class NaiveTime(MemoryBackend):
    def stat(self, path):
        stat = super().stat(path)
        return stat._replace(last_modified=stat.last_modified.replace(tzinfo=None))


@fault("test_a_write_that_fails_changes_nothing[True]")
class PublishesHalf(MemoryBackend):
    def writer(self, path, options, size=None):
        real = super().writer(path, options, size)
        backend = self

        class Writer:
            write = real.write
            commit = real.commit

            def abort(self):
                backend.put(path, bytes(real._data), options)

        return Writer()


@fault("test_readers_see_old_or_new[True]")
class WritesInPlace(MemoryBackend):
    def writer(self, path, options, size=None):
        real = super().writer(path, options, size)
        backend = self

        class Writer:
            commit = real.commit
            abort = real.abort

            def write(self, data):
                real.write(data)
                MemoryBackend.put(backend, path, bytes(real._data), options)
                time.sleep(0.05)  # so that a reader comes by, however busy the machine is

        return Writer()


@fault("test_conditions_on_a_large_blob")
class ForgetsConditionsOfLargeBlobs(MemoryBackend):
    def writer(self, path, options, size=None):
        return super().writer(path, options._replace(overwrite=True, if_match=None), size)


@fault("test_large_blobs")
class ForgetsMetadataOfLargeBlobs(MemoryBackend):
    def writer(self, path, options, size=None):
        return super().writer(path, options._replace(metadata={}), size)


@fault("test_ranges")
class EndIsIncluded(MemoryBackend):
    def get(self, path, start=0, end=None, if_match=None):
        return super().get(path, start, None if end is None else end + 1, if_match)


@fault("test_ranges")
class PastTheEndFails(MemoryBackend):
    def get(self, path, start=0, end=None, if_match=None):
        data = super().get(path, start, end, if_match)
        if start and not data:
            raise NotFoundError
        return data


@fault("test_replaced_while_open")
class ReadsAnyVersion(MemoryBackend):
    def get(self, path, start=0, end=None, if_match=None):
        return super().get(path, start, end)


@fault("test_iter_bytes_while_replaced")
class MixesVersions(MemoryBackend):
    def stream(self, path, start=0, end=None, if_match=None):
        stat = self.stat(path)
        last = stat.size if end is None else min(end, stat.size)
        return Download(stat, (self.get(path, at, min(at + 100_000, last)) for at in range(start, last, 100_000)))


@fault("test_iter_bytes_while_deleted")
class StopsShort(MemoryBackend):
    def stream(self, path, start=0, end=None, if_match=None):
        def pieces():
            for at in range(start, stat.size if end is None else min(end, stat.size), 100_000):
                try:
                    yield self.get(path, at, at + 100_000)
                except NotFoundError:
                    return

        stat = self.stat(path)
        return Download(stat, pieces())


@fault("test_bytes_are_never_decoded")
class Decompresses(MemoryBackend):
    def get(self, path, start=0, end=None, if_match=None):
        data = super().get(path, if_match=if_match)
        if self._blobs[path][1].content_encoding == "gzip" and data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data[start:end]


@fault("test_a_folder_is_no_blob")
class FoldersExist(MemoryBackend):
    def stat(self, path):
        if path not in self._blobs:
            for other in list(self._blobs):
                if other.startswith(path + "/"):
                    return self._blobs[other][1]
        return super().stat(path)


@fault("test_a_key_beside_its_folder")
class OneOrTheOther(MemoryBackend):
    def put(self, path, data, options):
        for other in list(self._blobs):
            if path.startswith(other + "/"):
                del self._blobs[other]
        return super().put(path, data, options)


@fault("test_a_key_beside_its_folder")
class DeletesTheTree(MemoryBackend):
    def delete(self, path, *, if_match=None):
        super().delete(path, if_match=if_match)
        for other in list(self._blobs):
            if other.startswith(path + "/"):
                del self._blobs[other]


@fault("test_deleting")
class AbsentIsDeleted(MemoryBackend):
    def delete(self, path, *, if_match=None):
        if path in self._blobs:
            super().delete(path, if_match=if_match)


@fault("test_delete_of_one_version")
class DeletesAnyVersion(MemoryBackend):
    def delete(self, path, *, if_match=None):
        super().delete(path)


@fault("test_delete_of_one_version_has_one_winner")
class ComparesBeforeItDeletes(MemoryBackend):
    def delete(self, path, *, if_match=None):
        if if_match is not None:
            self._find(path, if_match)
            time.sleep(0.01)
            self._blobs.pop(path, None)
            self._sorted = None
            return
        super().delete(path)


@fault("test_copy_of_one_version[copy]")
class CopiesAnyVersion(MemoryBackend):
    def _copy(self, source, target, *, overwrite, if_match, keep):
        return super()._copy(source, target, overwrite=overwrite, if_match=None, keep=keep)


@fault("test_set_metadata")
class ForgetsHeaders(MemoryBackend):
    def update(self, path, changes, *, if_match=None):
        with self._lock:
            data, stat = self._find(path, if_match)
            stat = stat._replace(**changes._asdict())
            self._blobs[path] = (data, stat)
            return stat


@fault("test_the_last_bytes")
class SuffixFromTheStart(MemoryBackend):
    def get(self, path, start=0, end=None, if_match=None):
        return super().get(path, max(0, start), end, if_match)


@fault("test_bounds")
class ListsTheBound(MemoryBackend):
    def scan(self, prefix, *, end_before=None, **options):
        yield from super().scan(prefix, end_before=None if end_before is None else end_before + "\0", **options)


@fault("test_delete_many_ignores_absent_keys")
class BatchFailsOnAbsent(MemoryBackend):
    def delete_batch(self, paths):
        for path in paths:
            self.delete(path)
        return {}


@fault("test_errors_say_where")
class BareErrors(MemoryBackend):
    def stat(self, path):
        return self._blobs[path][1]


@fault("test_bytes_headers_and_metadata_go_along[copy]")
class CopiesBytesOnly(MemoryBackend):
    def _copy(self, source, target, *, overwrite, if_match, keep):
        self.put(target, self.get(source), PutOptions("application/octet-stream", overwrite=overwrite))
        if not keep:
            self.delete(source)
        return self.stat(target)


@fault("test_create_only_copy[move]")
class CopiesOver(MemoryBackend):
    def _copy(self, source, target, *, overwrite, if_match, keep):
        return super()._copy(source, target, overwrite=True, if_match=if_match, keep=keep)


@fault("test_between_storage_types[move]")
class MoveIsCopy(MemoryBackend):
    def move(self, source, target, *, overwrite, if_match=None):
        return self.copy(source, target, overwrite=overwrite, if_match=if_match)


@fault("test_absent_source[move]")
class MoveEmptiesTheTarget(MemoryBackend):
    def move(self, source, target, *, overwrite, if_match=None):
        self._blobs.pop(target, None)
        return super().move(source, target, overwrite=overwrite, if_match=if_match)


class Scanning(MemoryBackend):
    """What the listings of the next ones share: every entry, in order."""

    def entries(self, prefix, delimiter):
        for page in MemoryBackend.scan(self, prefix, delimiter=delimiter):
            yield from page


@fault("test_order")
class Utf16Order(Scanning):
    def scan(self, prefix, *, start_after=None, delimiter=False, **_):
        entries = sorted(self.entries(prefix, delimiter), key=lambda entry: entry[0].encode("utf-16-be"))
        yield [entry for entry in entries if start_after is None or entry[0] > start_after]


@fault("test_prefix_is_a_string")
class WholeSegments(MemoryBackend):
    def scan(self, prefix, **options):
        for page in super().scan(prefix, **options):
            yield [(path, stat) for path, stat in page if path[len(prefix) :][:1] == "/" or prefix[-1:] in ("", "/")]


@fault("test_pages")
class AfterIsIncluded(MemoryBackend):
    def scan(self, prefix, *, start_after=None, **options):
        if start_after in self._blobs and start_after.startswith(prefix):
            yield [(start_after, self._blobs[start_after][1])]
        yield from super().scan(prefix, start_after=start_after, **options)


@fault("test_start_after_need_not_exist")
class AfterMustExist(MemoryBackend):
    def scan(self, prefix, *, start_after=None, **options):
        if start_after is not None and start_after not in self._blobs:
            return
        yield from super().scan(prefix, start_after=start_after, **options)


@fault("test_many_keys")
class OnePageOnly(MemoryBackend):
    def scan(self, prefix, **options):
        for page in super().scan(prefix, **options):
            yield page
            return


@fault("test_order")
class ListsForEver(MemoryBackend):
    def scan(self, prefix, **options):
        while True:
            yield from super().scan(prefix, **options)


@fault("test_changes_while_listing")
class PagesByOffset(Scanning):
    def scan(self, prefix, *, start_after=None, delimiter=False, page_size=1000, **_):
        offset = 0
        while True:
            entries = [e for e in self.entries(prefix, delimiter) if start_after is None or e[0] > start_after]
            if offset >= len(entries):
                return
            yield entries[offset : offset + page_size]
            offset += page_size


@fault("test_many_in_one_level")
class FolderOnEachPage(Scanning):
    def scan(self, prefix, *, delimiter=False, **options):
        if not delimiter:
            yield from super().scan(prefix, **options)
            return
        for page in super().scan(prefix):
            folders = {}
            for path, stat in page:
                slash = path.find("/", len(prefix))
                folders[path if slash < 0 else path[: slash + 1]] = stat if slash < 0 else None
            yield sorted(folders.items())


@fault("test_iter_dir")
class HidesBlobsBesideFolders(MemoryBackend):
    def scan(self, prefix, *, delimiter=False, **options):
        for page in super().scan(prefix, delimiter=delimiter, **options):
            folders = {path for path, stat in page if stat is None} if delimiter else set()
            yield [(path, stat) for path, stat in page if f"{path}/" not in folders]


@fault("test_emptied_folders_go")
class FoldersStay(MemoryBackend):
    def delete(self, path, *, if_match=None):
        super().delete(path, if_match=if_match)
        if path.count("/") > 1:
            self._folders = {*getattr(self, "_folders", ()), path.rpartition("/")[0] + "/"}

    def scan(self, prefix, *, delimiter=False, **options):
        yield from super().scan(prefix, delimiter=delimiter, **options)
        if delimiter:
            yield [(folder, None) for folder in getattr(self, "_folders", ()) if folder.startswith(prefix)]


@fault("test_many_infos")
class ListsAnotherEtag(MemoryBackend):
    def scan(self, prefix, **options):
        for page in super().scan(prefix, **options):
            yield [(path, stat and stat._replace(etag=f"W/{stat.etag}")) for path, stat in page]


@fault("test_metadata_in_listings")
class ListsWrongTypes(MemoryBackend):
    def scan(self, prefix, **options):
        for page in super().scan(prefix, **options):
            yield [(path, stat and stat._replace(content_type="text/plain")) for path, stat in page]


@fault("test_many_calls_in_threads")
class SharesItsCursor(MemoryBackend):
    def get(self, path, start=0, end=None, if_match=None):
        self._current = path
        time.sleep(0.002)
        return super().get(self._current, start, end, if_match)


@fault("test_setup_twice")
class SetsUpAgainAndAgain(MemoryBackend):
    def setup(self, wanted):
        return [*super().setup(wanted), "made the bucket"]


@fault("test_repr")
class TellsItsSecret(MemoryBackend):
    def __repr__(self):
        return "MemoryBackend(secret='TOPSECRET')"


def signing(name: str, change: Callable[[Any], Any], test: str) -> None:
    """A backend that signs itself, as a cloud's does, and something else than it was asked to."""

    class Signing(MemoryBackend):
        signing_keys: Any = None  # the facade does not sign for it

        def sign(self, path, options):
            served = MemoryBackend.__new__(MemoryBackend)
            served.__dict__ = self.__dict__  # the same store, for the server
            self._served = served  # which does not keep it alive
            return served_sign(served, path, change(options)).__replace__(method=options.method)

    FAULTS[name] = (type(name, (Signing,), {}), test)


signing("SignsNoType", lambda o: o._replace(content_type=None), "test_bound_options_bind")
signing("SignsNoLength", lambda o: o._replace(content_length=None), "test_bound_options_bind")
signing("SignsNoMD5", lambda o: o._replace(content_md5=None), "test_bound_md5_of_another_body")
signing("SignsNoCondition", lambda o: o._replace(overwrite=True), "test_create_only_upload")
signing("SignsNoDisposition", lambda o: o._replace(content_disposition=None), "test_response_headers")
signing("SignsForAYear", lambda o: o._replace(expires_in=365 * 24 * 3600), "test_expired")
signing("SignsGetForHead", lambda o: o._replace(method=o.method.replace("HEAD", "GET")), "test_download")


class BrokenHarness(LocalHarness):
    """Stores on one of them."""

    secrets = ("TOPSECRET",)
    large_size = 3 * 1024 * 1024

    def __init__(self, backend: type[MemoryBackend]) -> None:
        self.backend = backend
        self.stores: dict[str, MemoryBackend] = {}

    def url(self, name: str) -> str:
        return f"memory://{name}"

    def storage(self, name: str, **options: Any) -> Storage:
        backend = self.stores.setdefault(name, self.backend(name))
        return Storage(backend=backend, **options)
