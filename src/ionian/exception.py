"""Everything that Ionian raises or warns of, under Modal's names.

Error
├── AlreadyExistsError            the name is taken
├── AuthError                     no token, or a wrong one
├── ClientClosed                  the connection was closed by this program
├── ConnectionError               no server answers
├── DataLossError                 stored data are gone
├── DeserializationError          a value can't be unpickled here
├── ExecutionError                something that should hold at run time doesn't
├── FilesystemExecutionError
├── InternalError                 a fault of Ionian
├── InternalFailure               an input was lost more often than it is tried again
├── InvalidError                  the program asks for something that can't be
│   └── ConflictError             … in the state that things are in
├── LogsFetchError
├── NotFoundError                 there is no object of that name
├── PermissionDeniedError         the token may not do this
├── RemoteError                   a failure in a container whose own exception can't be had here
│   └── ImageBuildError           a build step failed
├── RequestSizeError              too large to send
├── ResourceExhaustedError        a quota or limit is used up
├── SandboxFilesystemError
│   └── SandboxFilesystem{NotFound, IsADirectory, NotADirectory, DirectoryNotEmpty, PathAlreadyExists,
│       Permission, FileTooLarge}Error
├── SandboxTerminatedError
├── SerializationError            a value can't be pickled
├── ServiceError                  the server can't answer now
├── SnapshotCreationError
├── TimeoutError                  also a built-in TimeoutError
│   └── FunctionTimeoutError, ExecTimeoutError, SandboxTimeoutError, OutputExpiredError,
│       InteractiveTimeoutError, MountUploadTimeoutError, VolumeUploadTimeoutError
├── UnimplementedError            a part of Modal's API that comes later; also a NotImplementedError
├── VersionError                  client, server or worker of versions that don't fit
└── WorkspaceManagementError
ModuleNotMountable(Exception)     a module that has no source here
InputCancellation(BaseException)  raised inside a running function whose input was cancelled
UserWarning: DeprecationError (also raised), ServerWarning, AsyncUsageWarning, InternalAPIWarning
"""

from __future__ import annotations

import builtins
from typing import Any

from .preemption import simulate_preemption as simulate_preemption


class Error(Exception):
    """The base of everything that Ionian raises."""


class AlreadyExistsError(Error):
    """The name is taken."""


class AuthError(Error):
    """No token was given, or a wrong one."""


class ClientClosed(Error):
    """The connection was closed by this program."""


class ConnectionError(Error):
    """No server answers."""


class DataLossError(Error):
    """Stored data are gone."""


class DeserializationError(Error):
    """A value can't be unpickled here; the message names the module it lacks."""


class ExecutionError(Error):
    """Something that should hold at run time doesn't."""


class FilesystemExecutionError(Error):
    """A file operation in a sandbox failed."""


class InternalError(Error):
    """A fault of Ionian itself."""


class InternalFailure(Error):
    """An input was lost with its containers more often than it is tried again."""


class InvalidError(Error):
    """The program asks for something that can't be: a wrong argument, or a call out of place."""


class ConflictError(InvalidError):
    """The program asks for something that can't be in the state that things are in."""


class LogsFetchError(Error):
    """Logs could not be read."""


class NotFoundError(Error):
    """There is no object of that name."""


class PermissionDeniedError(Error):
    """The token may not do this."""


class RemoteError(Error):
    """A failure in a container whose own exception can't be had here; the message is its text."""


class ImageBuildError(RemoteError):
    """A step of an image failed; the message names it and shows the last lines of its output."""

    def __init__(self, message: str = "", image_id: str = "") -> None:
        super().__init__(message)
        self.image_id = image_id


class RequestSizeError(Error):
    """Too large to send."""


class ResourceExhaustedError(Error):
    """A quota or a limit is used up."""


class SandboxFilesystemError(Error):
    """A file operation in a sandbox failed."""


class SandboxFilesystemNotFoundError(SandboxFilesystemError):
    """No such file or folder."""


class SandboxFilesystemIsADirectoryError(SandboxFilesystemError):
    """A file was expected, and it is a folder."""


class SandboxFilesystemNotADirectoryError(SandboxFilesystemError):
    """A folder was expected, and it is a file."""


class SandboxFilesystemDirectoryNotEmptyError(SandboxFilesystemError):
    """A folder to be removed holds something."""


class SandboxFilesystemPathAlreadyExistsError(SandboxFilesystemError):
    """There is something at that path."""


class SandboxFilesystemPermissionError(SandboxFilesystemError):
    """The sandbox's user may not do this."""


class SandboxFilesystemFileTooLargeError(SandboxFilesystemError):
    """The file is larger than what may be read or written at once."""


class SandboxTerminatedError(Error):
    """The sandbox was terminated."""


class SerializationError(Error):
    """A value can't be pickled."""


class ServiceError(Error):
    """The server can't answer now."""


class SnapshotCreationError(Error):
    """A snapshot could not be made."""


class TimeoutError(Error, builtins.TimeoutError):
    """Something took longer than it may."""


class FunctionTimeoutError(TimeoutError):
    """An input ran longer than its function's `timeout`."""


class ExecTimeoutError(TimeoutError):
    """A command in a sandbox ran longer than it may."""


class SandboxTimeoutError(TimeoutError):
    """A sandbox lived longer than it may."""


class OutputExpiredError(TimeoutError):
    """The result is no longer kept."""


class InteractiveTimeoutError(TimeoutError):
    """An interactive session was not opened in time."""


class MountUploadTimeoutError(TimeoutError):
    """Source files could not be sent in time."""


class VolumeUploadTimeoutError(TimeoutError):
    """Files for a volume could not be sent in time."""


class UnimplementedError(Error, NotImplementedError):
    """A part of Modal's API that Ionian doesn't have yet: docs/compatibility.md lists them."""


class VersionError(Error):
    """Client, server or worker are of versions that don't fit each other."""


class WorkspaceManagementError(Error):
    """Members, tokens or settings could not be changed."""


class ModuleNotMountable(Exception):
    """A module has no source here that could be brought into a container."""


class InputCancellation(BaseException):
    """Raised inside a running function whose input was cancelled."""


class DeprecationError(UserWarning):
    """A name that Modal has retired: it works, and the warning says what to write now."""


class ServerWarning(UserWarning):
    """The server has something to say."""


class AsyncUsageWarning(UserWarning):
    """A blocking call where `.aio` would not block the event loop."""


class InternalAPIWarning(UserWarning):
    """Something internal is used that may change any time."""


UserCodeException = Error
"""An old name, no longer raised."""


BUILTIN: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
}
"""Python's own that a server's answer may name."""


def named(name: str) -> type[Exception]:
    """The exception that an answer of the server names."""
    return BUILTIN.get(name) or globals().get(name, RemoteError)


def __getattr__(name: str) -> Any:
    """Names that come later."""
    from . import later

    found = later.top_level(f"exception.{name}")
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found
