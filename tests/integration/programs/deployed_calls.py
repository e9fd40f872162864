"""Calls a deployed function by its name, one input after the other, until its stdin ends; prints each result."""

import sys
import threading

from ionian import link
from ionian.function import handle
from ionian.protocol.calls import FindFunction

app_name, tag = sys.argv[1:]
found, _ = link.current().request(FindFunction(app_name, tag))
function = handle(found.function_id, found.tag, found.is_generator)
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
number = 0
while not ended.is_set():
    version, echoed = function.remote(number)
    assert echoed == number, (echoed, number)
    print(version, flush=True)
    number += 1
print("calls", number, flush=True)
