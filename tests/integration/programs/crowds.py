"""Web endpoints that many ask at once (test_web_crowds.py). They need nothing but Python."""

import asyncio

import modal

app = modal.App("crowds")
image = modal.Image.debian_slim(python_version="3.11")
gate = modal.Queue.from_name("gate", create_if_missing=True)


@app.function(image=image, max_containers=1, timeout=280)
@modal.asgi_app()
def queued():
    """Answers with the query, one request at a time; one that asks for /gate waits until there is something in the queue."""

    async def answer(scope, receive, send):
        if scope["path"].endswith("/gate"):
            print("at the gate", flush=True)
            await gate.get.aio()
        print("asked", scope["query_string"].decode(), flush=True)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["query_string"]})

    return answer


@app.function(image=image, max_containers=1, timeout=280)
@modal.concurrent(max_inputs=500)
@modal.asgi_app()
def held():
    """Streams and sockets that stay open: what is posted, all of them are sent."""
    listeners: set[asyncio.Queue[bytes]] = set()

    async def answer(scope, receive, send):
        if scope["type"] == "websocket":
            await sockets(receive, send)
        elif scope["method"] == "POST":
            words = (await receive())["body"]
            for listener in listeners:
                listener.put_nowait(words)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": str(len(listeners)).encode()})
        else:
            await events(send)

    async def sockets(receive, send):
        mine: asyncio.Queue[bytes] = asyncio.Queue()
        listeners.add(mine)
        await receive()
        await send({"type": "websocket.accept"})

        async def pass_on():
            while True:
                await send({"type": "websocket.send", "text": (await mine.get()).decode()})

        passing = asyncio.ensure_future(pass_on())
        while (event := await receive())["type"] == "websocket.receive":
            mine.put_nowait(event["text"].upper().encode())
        passing.cancel()
        listeners.discard(mine)

    async def events(send):
        mine: asyncio.Queue[bytes] = asyncio.Queue()
        listeners.add(mine)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        words = b"hello"
        while words != b"the end":
            await send({"type": "http.response.body", "body": b"data: " + words + b"\n\n", "more_body": True})
            words = await mine.get()
        listeners.discard(mine)
        await send({"type": "http.response.body", "body": b""})

    return answer
