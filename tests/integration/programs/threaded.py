"""An import that starts a thread: no container of it is a fork."""

import threading

import modal

app = modal.App("threaded")
image = modal.Image.debian_slim(python_version="3.11")
threading.Thread(target=threading.Event().wait, name="feed", daemon=True).start()


@app.function(image=image, single_use_containers=True)
def f(number):
    return number + threading.active_count()
