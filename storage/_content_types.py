"""Guesses the content type of a key, by a table that is the same on every machine and every Python. Pure.

``mimetypes.guess_type`` reads the machine's own files and its table changes between Python releases, so it would give one
key two types. Types are those registered with IANA where there is one (https://www.iana.org/assignments/media-types).
"""

from __future__ import annotations

DEFAULT_CONTENT_TYPE = "application/octet-stream"

_BY_TYPE = {
    "application/epub+zip": "epub",
    "application/geo+json": "geojson",
    "application/gzip": "gz tgz",
    "application/java-archive": "jar",
    "application/json": "json",
    "application/jsonl": "jsonl ndjson",
    "application/ld+json": "jsonld",
    "application/manifest+json": "webmanifest",
    "application/msword": "doc",
    "application/pdf": "pdf",
    "application/postscript": "ai eps ps",
    "application/rtf": "rtf",
    "application/sql": "sql",
    "application/toml": "toml",
    "application/vnd.apache.arrow.file": "arrow feather",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-fontobject": "eot",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/wasm": "wasm",
    "application/x-7z-compressed": "7z",
    "application/x-bzip2": "bz2",
    "application/x-hdf5": "h5 hdf5",
    "application/x-ipynb+json": "ipynb",
    "application/x-sh": "sh",
    "application/x-tar": "tar",
    "application/x-xz": "xz",
    "application/xhtml+xml": "xhtml",
    "application/xml": "xml xsd xsl",
    "application/yaml": "yaml yml",
    "application/zip": "zip",
    "application/zstd": "zst",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/midi": "mid midi",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "oga ogg opus",
    "audio/wav": "wav",
    "font/otf": "otf",
    "font/ttf": "ttf",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "image/apng": "apng",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/jpeg": "jpe jpeg jpg",
    "image/jxl": "jxl",
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/tiff": "tif tiff",
    "image/vnd.microsoft.icon": "ico",
    "image/webp": "webp",
    "message/rfc822": "eml",
    "model/gltf+json": "gltf",
    "model/gltf-binary": "glb",
    "text/calendar": "ics",
    "text/css": "css",
    "text/csv": "csv",
    "text/html": "htm html",
    "text/javascript": "js mjs",
    "text/markdown": "markdown md",
    "text/plain": "c cfg conf h ini log text txt",
    "text/tab-separated-values": "tsv",
    "text/vcard": "vcf",
    "text/vtt": "vtt",
    "text/x-python": "py",
    "text/x-rst": "rst",
    "video/mp2t": "ts",
    "video/mp4": "m4v mp4",
    "video/mpeg": "mpeg mpg",
    "video/ogg": "ogv",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
}
_BY_SUFFIX = {suffix: kind for kind, suffixes in _BY_TYPE.items() for suffix in suffixes.split()}


def guess_content_type(key: str) -> str:
    """The media type for the last suffix of ``key``, in any case; ``application/octet-stream`` where there is none."""
    stem, _, suffix = key.rpartition(".")
    if not stem or stem[-1] == "/":  # `.txt` is a name, not a suffix
        return DEFAULT_CONTENT_TYPE
    return _BY_SUFFIX.get(suffix) or _BY_SUFFIX.get(suffix.lower(), DEFAULT_CONTENT_TYPE)
