"""Dicts and queues in a client and in containers while the server is killed: what was done, and how often.

`python dealing.py ITEMS`
"""

import collections
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import ionian as modal

app = modal.App("dealing")
image = modal.Image.debian_slim(python_version="3.11")
entries = modal.Dict.from_name("dealing", create_if_missing=True)
sent = modal.Queue.from_name("dealing-sent", create_if_missing=True)
back = modal.Queue.from_name("dealing-back", create_if_missing=True)
THREADS = 8


def hand_on(_: int = 0) -> int:
    """Takes numbers until there is a None, and hands each on."""
    count = 0
    while (number := sent.get(timeout=60)) is not None:
        back.put(number)
        count += 1
    return count


@app.function(image=image, max_containers=1)
def hand_on_in_a_container() -> int:
    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(hand_on, range(THREADS)))


def put(number: int) -> bool:
    new = entries.put(number, str(number), skip_if_exists=True)
    sent.put(number)
    return new and entries[number] == str(number)


if __name__ == "__main__":
    count = int(sys.argv[1])
    with app.run():
        with ThreadPoolExecutor(2 * THREADS + 1) as threads:
            inside = threads.submit(hand_on_in_a_container.remote)
            outside = [threads.submit(hand_on) for _ in range(THREADS)]
            new = sum(threads.map(put, range(count)))
            sent.put_many([None] * 2 * THREADS)
            handed = inside.result() + sum(each.result() for each in outside)
        got = collections.Counter(back.get_many(count) if back.len() else [])
        popped = sum(entries.pop(number) == str(number) for number in range(count))
    print(
        json.dumps(
            {
                "new": new,
                "handed": handed,
                "popped": popped,
                "left": [entries.len(), sent.len(), back.len()],
                "missing": [number for number in range(count) if number not in got],
                "twice": [number for number, times in got.items() if times > 1],
            }
        )
    )
