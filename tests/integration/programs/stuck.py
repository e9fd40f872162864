"""A function whose import has each fork of its process hang: see test_templates_made.py."""

import os
import time

import modal

app = modal.App("stuck")

os.register_at_fork(after_in_child=lambda: time.sleep(1000))


@app.function(image=modal.Image.debian_slim(python_version="3.11"))
def stuck(number):
    return number + 1
