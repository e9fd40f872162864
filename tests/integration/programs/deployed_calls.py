"""Calls a deployed function by its name, one input after the other, until its stdin ends; prints each result."""

import sys
import threading

import ionian as modal

app_name, tag = sys.argv[1:]
function = modal.Function.from_name(app_name, tag)
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
number = 0
while not ended.is_set():
    version, echoed = function.remote(number)
    assert echoed == number, (echoed, number)
    print(version, flush=True)
    number += 1
print("calls", number, flush=True)
