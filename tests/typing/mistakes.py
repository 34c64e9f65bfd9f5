"""Mistakes that a type checker must find: each line that is marked is an error, and there is no other. It is never run."""

from __future__ import annotations

from storage import Storage

storage = Storage("memory://")

Storage(1)  # error
Storage("memory://", retry=3)  # error
storage.set("k", 1)  # error
storage.set("k", ["text"])  # error
storage.set(b"k", "text")  # error
storage.set("k", "text", metadata={"a": 1})  # error
storage.set("k", "text", overwite=False)  # error
storage.get("k").decode()  # error
storage.get_bytes("k", 1, 2)  # error
storage.open("k", "rb").read().encode()  # error
storage.info("k").size = 3  # error
storage.list("p", 10)  # error
storage.sign_download("k", method="PUT")  # error
storage.set_many({"k": 1})  # error
storage.set_many([("k", ["text"])])  # error
