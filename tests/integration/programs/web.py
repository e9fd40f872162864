"""Web endpoints of every kind (test_web.py)."""

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager

import modal

app = modal.App("pages")
plain = modal.Image.debian_slim(python_version="3.11")
image = plain.pip_install("fastapi", "flask", "websockets")


@app.function(image=plain)
@modal.fastapi_endpoint(method="POST", docs=True, label="doubled", custom_domains=["double.example.com"])
def double(x: int) -> dict[str, int]:
    return {"doubled": 2 * x}


@app.function(image=plain, timeout=2, startup_timeout=60)
@modal.fastapi_endpoint(requires_proxy_auth=True)
async def guarded(seconds: float = 0) -> str:
    await asyncio.sleep(seconds)
    return "you may"


@app.function(image=plain)
@modal.asgi_app()
def alone():
    """One request at a time: the answer does not wait for what is done behind it."""

    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"an answer"})
        await modal.Queue.from_name("behind", create_if_missing=True).get.aio()
        print("behind alone", flush=True)

    return answer


@app.cls(image=plain)
class Counter:
    @modal.enter()
    def begin(self) -> None:
        self.count = 0

    @modal.fastapi_endpoint()
    def up(self, by: int = 1) -> int:
        self.count += by
        return self.count


@app.function(image=image, max_containers=1)
@modal.concurrent(max_inputs=20)
@modal.asgi_app()
def pages():
    from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
    from fastapi.responses import StreamingResponse

    @asynccontextmanager
    async def lifespan(_: FastAPI):
        print("the pages begin")
        yield {"model": "loaded"}
        print("the pages end")

    made = FastAPI(lifespan=lifespan)
    gates: dict[str, asyncio.Event] = {}

    @made.get("/")
    def index(request: Request) -> dict[str, str]:
        return {
            "state": request.state.model,
            "url": str(request.url),
            "client": request.client.host,
            "seen": request.headers.get("x-seen", ""),
        }

    @made.get("/stream/{name}")
    async def stream(name: str) -> StreamingResponse:
        gates[name] = asyncio.Event()

        async def parts():
            yield "data: first\n\n"
            await gates[name].wait()
            yield "data: second\n\n"

        return StreamingResponse(parts(), media_type="text/event-stream")

    @made.post("/gate/{name}")
    def gate(name: str) -> None:
        gates[name].set()

    @made.post("/size")
    async def size(request: Request) -> int:
        return sum([len(part) async for part in request.stream()])

    @made.get("/bytes/{count}")
    def much(count: int) -> StreamingResponse:
        return StreamingResponse(b"x" * 1_000_000 for _ in range(count))

    @made.get("/fails")
    def fails() -> None:
        raise ValueError("as it was asked to")

    @made.get("/fails/amid")
    def fails_amid() -> StreamingResponse:
        def parts():
            yield b"x" * 1000
            raise ValueError("amid its answer")

        return StreamingResponse(parts())

    @made.get("/dies")
    def dies() -> None:
        print("dying", flush=True)
        os._exit(3)

    @made.get("/dies/at/once")
    async def dies_at_once() -> None:
        os.write(1, b"dying at once\n")
        os._exit(3)

    @made.get("/behind/{name}")
    async def behind(name: str, tasks: BackgroundTasks) -> str:
        gates[name] = asyncio.Event()

        async def go_on() -> None:
            await gates[name].wait()
            print(f"behind {name}", flush=True)

        tasks.add_task(go_on)
        return "an answer"

    @made.get("/dies/amid/{name}")
    async def dies_amid(name: str) -> StreamingResponse:
        gates[name] = asyncio.Event()

        async def parts():
            yield b"the first half"
            await gates[name].wait()
            os._exit(3)

        return StreamingResponse(parts())

    @made.get("/waits")
    async def waits() -> None:
        print("waiting", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            print("no longer waiting", flush=True)

    @made.websocket("/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text.upper())
        print("the socket is closed", flush=True)

    @made.websocket("/sized")
    async def sized(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_bytes(bytes(int(text)))

    @made.websocket("/patient")
    async def patient(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            try:
                await socket.send_text(await asyncio.wait_for(socket.receive_text(), 0.05))
            except asyncio.TimeoutError:
                await socket.send_text("still waiting")

    return made


@app.function(image=image, restrict_modal_access=True)
@modal.wsgi_app()
def flask():
    from flask import Flask, request

    made = Flask(__name__)

    @made.route("/")
    def index() -> str:
        return f"{request.method} {request.url} {request.args.get('q')}"

    @made.post("/size")
    def size() -> str:
        return str(len(request.get_data()))

    return made


@app.function(image=plain)
@modal.web_server(8000)
def files() -> None:
    subprocess.Popen([sys.executable, "-m", "http.server", "8000", "--directory", "/root"])


@app.function(image=image)
@modal.concurrent(max_inputs=10)
@modal.web_server(8000, startup_timeout=20)
def echoes() -> None:
    code = (
        "import asyncio, websockets\n"
        "async def echo(socket):\n"
        "    async for message in socket: await socket.send(message)\n"
        "async def main():\n"
        "    async with websockets.serve(echo, '127.0.0.1', 8000): await asyncio.Future()\n"
        "asyncio.run(main())\n"
    )
    subprocess.Popen([sys.executable, "-c", code])
