"""The server: signed URLs and forms of a store in memory."""

import urllib.request

from storage import Storage
from storage.server import SignedURLs

with Storage("memory://") as store:
    store.set("a.txt", "0123456789")
    signed = urllib.request.Request(store.get_signed_url("a.txt"), headers={"Range": "bytes=2-3"})
    with urllib.request.urlopen(signed) as answer:
        assert (answer.status, answer.read()) == (206, b"23")
    upload = store.sign_upload("b.txt", content_type="text/x-test")
    put = urllib.request.Request(upload.url, b"sent", dict(upload.headers), method=upload.method)
    urllib.request.urlopen(put).close()
    assert (store.get("b.txt"), store.info("b.txt").content_type) == ("sent", "text/x-test")
    form = store.sign_form("c.txt", max_length=100)
    parts = [f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in form.fields.items()]
    parts.append('--x\r\nContent-Disposition: form-data; name="file"; filename="c"\r\n\r\nposted\r\n--x--\r\n')
    post = urllib.request.Request(
        form.url, "".join(parts).encode(), {"Content-Type": "multipart/form-data; boundary=x"}
    )
    urllib.request.urlopen(post).close()
    assert store.get("c.txt") == "posted"
    assert callable(SignedURLs(store))
