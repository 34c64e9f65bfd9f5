"""A page that uploads files from the browser straight to a store, whichever it is: python examples/browser_upload.py [URL].

The application never sees a file. It signs requests and forms, and the browser sends them. It takes
pip install 'storage-facade[server]' starlette.
"""

from __future__ import annotations

import re
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from storage import NotFoundError, Storage

MOST_BYTES = 100_000_000
MOST_PICTURE_BYTES = 1_000_000

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Uploads</title>
<style>body { font: 16px/1.6 system-ui, sans-serif; max-width: 40em; margin: 3em auto; color-scheme: light dark }</style>
<h1>Uploads</h1>
<p><label>Choose a file: <input type="file" id="file"></label> <progress id="bar" max="1" value="0"></progress></p>
<p><label>Or a small picture, by a form of at most 1 MB: <input type="file" id="picture" accept="image/png"></label></p>
<p id="said" role="status"></p>
<ul id="list"></ul>
<script>
async function show() {
  const names = await (await fetch("/files")).json();
  document.getElementById("list").replaceChildren(...names.map(name => {
    const item = document.createElement("li"), link = document.createElement("a");
    link.textContent = name;
    link.href = "/files/" + encodeURIComponent(name);
    item.append(link);
    return item;
  }));
}

async function upload(file) {
  const signed = await fetch("/sign-upload", {
    method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify({name: file.name, type: file.type, size: file.size}),
  });
  const request = await signed.json();
  if (!signed.ok) throw new Error(request.error);
  await new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open(request.method, request.url);
    for (const [name, value] of Object.entries(request.headers))
      if (name.toLowerCase() !== "content-length") sending.setRequestHeader(name, value); // the browser sends that one
    sending.upload.onprogress = event => { document.getElementById("bar").value = event.loaded / event.total; };
    sending.onload = () => sending.status < 300 ? resolve()
      : reject(new Error(sending.status === 412 ? "there is a file of this name already" : `refused: ${sending.status}`));
    sending.onerror = () => reject(new Error("the store does not let this page in; see setup(cors_origins=…)"));
    sending.send(file);
  });
}

// The store itself holds the size against the limit: nobody has to say it before.
async function post(file) {
  const signed = await fetch("/sign-form", {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({name: file.name}),
  });
  const form = await signed.json();
  if (!signed.ok) throw new Error(form.error);
  const body = new FormData();
  for (const [name, value] of Object.entries(form.fields)) body.append(name, value);
  body.append("file", file); // the last one
  const answer = await fetch(form.url, {method: "POST", body});
  if (!answer.ok) throw new Error(`the store refused it (${answer.status}): a picture has at most 1 MB`);
}

function on(id, send) {
  document.getElementById(id).onchange = async event => {
    const said = document.getElementById("said"), [file] = event.target.files;
    try { await send(file); said.textContent = `${file.name} is stored`; await show(); }
    catch (error) { said.textContent = error.message; }
  };
}
on("file", upload);
on("picture", post);
show();
</script>"""


def safe_name(name: object) -> str:
    """A file's name as the last part of a key."""
    return re.sub(r"[^\w .-]|^\.+", "_", str(name))[:100]


def application(storage: Storage) -> Starlette:
    """The page and its endpoints. Those that ask the store are plain functions: they block, so Starlette runs them in threads."""

    def page(_: Request) -> Response:
        return HTMLResponse(PAGE)

    def files(_: Request) -> Response:
        return JSONResponse([key.removeprefix("uploads/") for key in storage.list("uploads/", limit=100)])

    def file(request: Request) -> Response:
        key = f"uploads/{request.path_params['name']}"
        try:
            storage.info(key)
        except NotFoundError:
            return Response(status_code=404)
        return RedirectResponse(storage.get_signed_url(key, expires_in=60, content_disposition="attachment"), 303)

    async def sign_upload(request: Request) -> Response:
        wanted = await request.json()
        name = safe_name(wanted["name"])
        if not name or not 0 <= int(wanted["size"]) <= MOST_BYTES:
            return JSONResponse({"error": "a file needs a name, and at most 100 MB"}, 400)
        signed = storage.sign_upload(  # no request to the store: signing is arithmetic
            f"uploads/{name}",
            expires_in=600,
            content_type=str(wanted["type"]) or "application/octet-stream",
            content_length=int(wanted["size"]),
            overwrite=False,
        )
        return JSONResponse({"method": signed.method, "url": signed.url, "headers": dict(signed.headers)})

    async def sign_form(request: Request) -> Response:
        name = safe_name((await request.json())["name"])
        if not name:
            return JSONResponse({"error": "a picture needs a name"}, 400)
        form = storage.sign_form(
            f"uploads/{name}", expires_in=600, max_length=MOST_PICTURE_BYTES, content_type="image/png"
        )
        return JSONResponse({"url": form.url, "fields": dict(form.fields)})

    return Starlette(
        routes=[
            Route("/", page),
            Route("/files", files),
            Route("/files/{name}", file),
            Route("/sign-upload", sign_upload, methods=["POST"]),
            Route("/sign-form", sign_form, methods=["POST"]),
        ]
    )


def main(url: str = "memory://") -> None:
    """Serves the page on a free port of this machine, and lets it into the store."""
    with Storage(url) as storage, socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        storage.setup(cors_origins=[origin])
        print(origin, flush=True)
        uvicorn.Server(uvicorn.Config(application(storage), log_level="warning")).run([listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
