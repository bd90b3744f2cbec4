# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ASGI application of the tests: /status/N answers N to every method, /sleep/MS late."""
import asyncio


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    _, verb, value = scope["path"].split("/")
    status = int(value)
    if verb == "sleep":
        await asyncio.sleep(status / 1000)
        status = 200
    elif status != 413:
        while (await receive()).get("more_body"):
            pass
    body = b"" if status in (204, 304) or scope["method"] == "HEAD" else b"as asked\n"
    headers = [] if status in (204, 304) else [(b"content-length", b"9")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
