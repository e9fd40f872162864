"""Pid 1 of a container: starts the one program, reaps, passes signals on, reports how it ended.

Run by the image's own Python as a script, so it stays small and imports only modules that are built in: `os` and
`signal` cost more than all that this file does.

    python -I -S init.py STATUS STDERR [-t] [-p FOLDER]… (-m MODULE ARG… | -- PROGRAM ARG…)

STATUS is a socket: one byte goes out when we are up, one byte comes in for "go", and the wait status of the program
goes out at the end. STDERR is the program's standard error; until "go", descriptor 2 is the worker's own pipe.
With -t the program is a template: containers that were forked from it are children of ours when it has ended, and we end
with the last of them. With -m the program is `main()` of a module in this very interpreter, which saves a second start of Python.
"""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
import _signal  # type: ignore
import posix
import sys

ALL = _signal.valid_signals()  # libc keeps some for itself
END = 40
"""With -t: the signal by which the worker kills the program alone. A real-time signal, which no program is sent."""


def main(argv):  # type: ignore[no-untyped-def]
    status, stderr = int(argv[1]), int(argv[2])
    # Blocked, a signal waits for sigwait() below; pid 1 would ignore it otherwise.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, ALL)
    posix.write(status, b"+")
    is_template = argv[3] == "-t"
    if is_template:
        del argv[3]
        may_be_traced(False)  # the containers of a template depend on this process
    if posix.read(status, 1) != b"g":
        posix._exit(1)  # the worker has gone, or wants us no more
    if is_template:
        skip_process_id()
    program = posix.fork()
    if program == 0:
        if is_template:
            may_be_traced(True)
        posix.close(status)
        posix.dup2(stderr, 2)
        posix.close(stderr)
        become(argv[3:])
        return
    posix.dup2(status, 3)
    posix.closerange(4, 65536)
    for low in (0, 1, 2):
        posix.close(low)
    watch(program, 3, is_template)


def watch(program, status, is_template=False):  # type: ignore[no-untyped-def]
    """Waits for the program's end, tells how it was, and ends: with it the kernel ends what else is in here."""
    while True:
        number = _signal.sigwait(ALL)
        if number != _signal.SIGCHLD:
            pass_on(program, _signal.SIGKILL if is_template and number == END else number)
            continue
        while True:
            try:
                pid, how = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                posix._exit(0)
            if pid == 0:
                break
            if pid == program:
                program = 0
                tell(status, how)
                if not is_template:
                    posix._exit(0)


def pass_on(program, number):  # type: ignore[no-untyped-def]
    try:
        if program:
            posix.kill(program, number)
    except OSError:
        pass


def tell(status, how):  # type: ignore[no-untyped-def]
    """The wait status, and the microseconds of processor time of all that was in here."""
    try:
        posix.write(status, b"%d %d" % (how, sum(posix.times()[:4]) * 1000000))
    except OSError:
        pass  # the worker has gone


def skip_process_id():  # type: ignore[no-untyped-def]
    """Has the program of a template be process 3: each of its containers is process 2 of its own, and libraries that know
    a fork by its process id (OpenSSL, for its random numbers) must see another one."""
    passed = posix.fork()
    if passed == 0:
        posix._exit(0)
    posix.waitpid(passed, 0)


def may_be_traced(may):  # type: ignore[no-untyped-def]
    """Whether other processes of this user can trace this one, and look into its memory."""
    import ctypes

    ctypes.CDLL(None).prctl(4, int(may), 0, 0, 0)  # PR_SET_DUMPABLE


def become(argv):  # type: ignore[no-untyped-def]
    posix.setsid()
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    folders = []
    while argv[0] == "-p":
        folders.append(argv[1])
        del argv[:2]
    if argv[0] == "--":
        execute(argv[1:])
    sys.path[:0] = folders
    sys.argv = argv[1:]
    if sys.flags.no_site:
        import site

        site.main()
    import gc

    gc.disable()  # nothing that is imported here is ever let go; a look for it takes a tenth of the time
    __import__(argv[1])
    gc.enable()
    sys.modules[argv[1]].main()


def execute(argv):  # type: ignore[no-untyped-def]
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # Python's start has set them to be ignored
        _signal.signal(number, _signal.SIG_DFL)
    import os

    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        posix.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        posix._exit(126 if isinstance(error, PermissionError) else 127)


if __name__ == "__main__":
    main(sys.argv)
