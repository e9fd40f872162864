"""What must differ between processes that were forked from one: random numbers, above all.

What user code seeded itself stays as it is: a container that starts on its own would have those numbers, too.
"""

from __future__ import annotations

import gc
import os
import random
import sys
from functools import wraps
from types import ModuleType
from typing import Any
from weakref import WeakSet

from . import native

ENTROPY = 32  # bytes: 256 bits, as much as any of these generators' states is worth

CHOSEN = 1 << 32
"""A seed that a person wrote is smaller (torch's own has 53 random bits, numpy's 128)."""

TWISTER = "MT19937"
"""numpy's global generator is one."""


class Reseed:
    """Made before user code runs; `look` when it has run; `renew` in each fork."""

    def __init__(self) -> None:
        self._seeded: WeakSet[random.Random] = WeakSet()
        self._randoms: list[random.Random] = []
        self._global: Any = None  # the state of the module's own generator, where user code has seeded it
        self._numpy: list[Any] = []
        self._twisters: list[tuple[Any, dict[str, Any]]] = []  # each with its state
        self._halves: list[
            Any
        ] = []  # numpy's RandomStates that hold a normal number: they make them in pairs
        self._unseeded_numpy = False
        self._crypto: list[Any] = []
        self._notice_seeds()

    def _notice_seeds(self) -> None:
        plain, seeded = random.Random.seed, self._seeded

        @wraps(plain)
        def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
            (seeded.discard if a is None else seeded.add)(self)
            plain(self, a, version)

        random.Random.seed = seed  # type: ignore[method-assign]
        random.seed = random._inst.seed  # type: ignore[attr-defined]

    def of_numpy(self, module: ModuleType) -> None:
        """Called behind the import of `numpy.random`, whose global generator does not tell a seed from none."""
        plain: Any = module.seed

        def seed(seed: Any = None) -> None:
            self._unseeded_numpy = seed is None
            plain(seed)

        seed.__doc__ = plain.__doc__
        module.seed = seed  # type: ignore[attr-defined]

    def look(self) -> None:
        """Finds the generators that exist: those of libraries, and those that user code holds."""
        own: Any = random._inst  # type: ignore[attr-defined]  # which Python seeds anew at each fork
        for each in gc.get_objects():
            if issubclass(type(each), random.Random) and each not in self._seeded and each is not own:
                self._randoms.append(each)
        numpy = sys.modules.get("numpy.random")
        if numpy is not None:
            self._look_at_numpy(numpy)
        if random._inst in self._seeded:  # type: ignore[attr-defined]
            self._global = random.getstate()
        self._crypto = [
            add
            for library in native.libraries("libcrypto")
            if (add := native.function(library, "RAND_add")) is not None
        ]
        # Once here: a library's first use takes milliseconds.
        self._tls()
        for generator in self._numpy:
            type(generator)()

    def _look_at_numpy(self, numpy: Any) -> None:
        for each in gc.get_objects():
            kind: type = type(each)  # pyright: ignore[reportUnknownVariableType]
            if issubclass(kind, numpy.BitGenerator) and self._is_unseeded(each, numpy):
                if kind.__name__ == TWISTER:
                    self._twisters.append((each, each.state))
                else:
                    self._numpy.append(each)
            elif (
                issubclass(kind, numpy.RandomState)
                and self._is_unseeded(each._bit_generator, numpy)
                and each.get_state(legacy=False)["has_gauss"]
            ):
                self._halves.append(each)

    def _is_unseeded(self, generator: Any, numpy: Any) -> bool:
        sequence = getattr(generator, "_seed_seq", None)
        if sequence is None:  # seeded in the old way, which keeps no sequence
            return self._unseeded_numpy and generator is numpy.mtrand._rand._bit_generator
        entropy = getattr(sequence, "entropy", 0)
        return isinstance(entropy, int) and entropy >= CHOSEN << 32

    def renew(self) -> None:
        """In a fork: its own random numbers, from the kernel."""
        if self._global is not None:
            random.setstate(self._global)  # Python has seeded it anew at the fork
        for each in self._randoms:
            each.seed()
        for generator in self._numpy:
            generator.state = type(generator)().state
        self._twist()
        _torch()
        _names_and_ids()
        self._tls()

    def _twist(self) -> None:
        """A Mersenne twister's state is random words and nothing else: half a millisecond less than a seed's way to them."""
        for generator, state in self._twisters:
            words = state["state"]["key"]
            state["state"]["key"] = type(words)(words.shape, words.dtype, os.urandom(words.nbytes))
            state["state"]["pos"] = len(words)  # all are used: the next number makes new ones
            generator.state = state
        for each in self._halves:
            each.set_state({**each.get_state(legacy=False), "has_gauss": 0, "gauss": 0.0})

    def _tls(self) -> None:
        # OpenSSL knows a fork by its process id, which the processes of containers share.
        import ctypes

        for add in self._crypto:
            add(os.urandom(ENTROPY), ENTROPY, ctypes.c_double(ENTROPY))


def _torch() -> None:
    torch = sys.modules.get("torch")
    generator = getattr(torch, "default_generator", None)
    if generator is not None and generator.initial_seed() >= CHOSEN:
        generator.seed()


def _names_and_ids() -> None:
    tempfile, uuid = sys.modules.get("tempfile"), sys.modules.get("uuid")
    if tempfile is not None:
        tempfile._name_sequence = None  # type: ignore[attr-defined]
    if uuid is not None:
        # libuuid's clock sequence would be shared; in Python each uuid1() draws its own.
        uuid._generate_time_safe = None  # type: ignore[attr-defined]
        uuid._node = uuid._random_getnode()  # type: ignore[attr-defined]
    process = sys.modules.get("multiprocessing.process")
    if process is not None:  # what lets processes connect to each other: a secret of one container
        process.current_process().authkey = os.urandom(ENTROPY)
