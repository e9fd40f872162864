"""An app's definition sent to the server: its files, images, volumes and secrets, then its functions."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from queue import SimpleQueue
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..exception import InvalidError, ResourceExhaustedError
from ..image_objects import found
from ..protocol.apps import (
    CheckResources,
    Deploy,
    FindVolume,
    FoundVolume,
    ImageBuilt,
    PublishApp,
    ResourcesChecked,
    SecretKept,
)
from ..protocol.calls import AppFunctions
from ..protocol.clusters import share_of, whole_resources
from ..protocol.ids import new_id
from ..protocol.images import image_id_of
from ..protocol.spec import (
    Batching,
    BucketMount,
    Concurrency,
    FileRef,
    FunctionSpec,
    ImageSpec,
    Instruction,
    Resources,
    Scaling,
    VolumeMount,
)
from ..protocol.tags import shown
from ..protocol.variants import without_minimum
from ..secret import request_of
from ..steps import run
from . import no_gpu
from .entry import import_name
from .images import built
from .output.words import count, size
from .source import source_files

if TYPE_CHECKING:
    from ..app import App
    from ..cloud_bucket_mount import CloudBucketMount
    from ..function import Function
    from ..image_steps import Step
    from ..link import Link
    from ..local_files import LocalFile
    from ..protocol.images import ImageInfo
    from ..secret import Secret
    from ..volume import Volume
    from .output.report import Report
    from .upload import Uploader

    AnyFunction = Function[Any, Any, Any]

    ImageKey = tuple[int, bool]

LARGEST_SERIALIZED = 16 << 20
"""A pickled function may be no larger (16 MiB, as Modal's): data belong in arguments, images and volumes."""

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Publication:
    """Defines one app on the server."""

    def __init__(
        self,
        app: App,
        app_id: str,
        environment: str,
        link: Link,
        uploader: Uploader,
        report: Report | None,
        *,
        known: Mapping[str, str] = MappingProxyType({}),
        deploy: Deploy | None = None,
    ) -> None:
        """`known`: the ids of functions that the app has already, by tag; `deploy`: it becomes the next version."""
        self._app = app
        self._app_id = app_id
        self._environment = environment
        self._link = link
        self._uploader = uploader
        self._report = report
        self._known = known
        self._deploy = deploy
        self._sources: dict[str, list[FileRef]] = {}
        self._secrets: dict[int, str] = {}
        self._known_images: dict[int, ImageInfo] = {}
        self._volumes: dict[tuple[str, str], str] = {}
        self._resources: dict[str, Resources] = {}

    def publish(self) -> AppFunctions:
        """Does it all; afterwards the functions can be called."""
        functions: list[AnyFunction] = list(self._app.registered_functions.values())
        self._check_resources(functions)
        mounts = {
            function.tag: self._mounts(function) for function in functions
        }  # may be refused: before builds
        images = self._images(functions)
        built = self._build(dict(images.values()))
        for function in functions:
            function.image.known_id = function.image.tried_id
        self._check_pythons(functions, {key: built[image_id].python for key, (image_id, _) in images.items()})
        for function in functions:  # before any is pickled: they may refer to each other
            function.function_id = self._known.get(function.tag) or new_id("fu")
        specs = [
            self._spec(function, *images[image_key(function)], mounts[function.tag]) for function in functions
        ]
        done, _ = self._link.request(PublishApp(self._app_id, specs, self._deploy, self._app.budget))
        assert isinstance(done, AppFunctions), done
        for function in functions:
            function.function_id = done.functions[function.tag]
        if done.changed:
            self._tell(specs, done.urls)
        return done

    # -- resources

    def _check_resources(self, functions: list[AnyFunction]) -> None:
        """Fails before images are built where no worker could ever hold a function."""
        self._resources = {function.tag: function.options.resources() for function in functions}
        ignored: list[str] = []
        if no_gpu.ignored():
            ignored = [tag for tag, resources in self._resources.items() if resources.gpus]
            for tag in ignored:
                self._resources[tag].gpus = []
        sizes = {function.tag: max(1, function.options.cluster_size) for function in functions}
        asked = {tag: whole_resources(one, sizes[tag]) for tag, one in self._resources.items()}
        try:
            checked, _ = self._link.request(CheckResources(self._app_id, asked))
        except ResourceExhaustedError as error:
            if "--no-gpu" not in str(error):
                raise
            raise ResourceExhaustedError(f"{error}:\n    {no_gpu.command_line()}") from None
        assert isinstance(checked, ResourcesChecked), checked
        self._resources = {
            tag: share_of(checked.functions[tag], one, sizes[tag]) for tag, one in self._resources.items()
        }
        if self._report is None:
            return
        if ignored or checked.without_gpu:
            tags = ", ".join([*ignored, *checked.without_gpu])
            who = "--no-gpu" if ignored else "the workers run with --no-gpu"
            self._report.say(f"Without the GPU that they ask for ({who}): {tags}", "yellow")
        for tag, resources in asked.items():
            if (less := less_than(resources, checked.functions[tag])) != "":
                self._report.say(f"{tag} gets {less}: no worker is larger", "yellow")

    # -- images

    def _images(self, functions: list[AnyFunction]) -> dict[ImageKey, tuple[str, ImageSpec]]:
        """Each distinct image: its id on the server, and what it is."""
        found: dict[ImageKey, tuple[str, ImageSpec]] = {}
        for function in functions:
            key = image_key(function)
            if key not in found:
                spec = function.image.spec(self)
                if no_gpu.ignored():
                    for step in spec.instructions:
                        step.resources = None if step.op != "CALL" else without_gpus(step.resources)
                if key[1]:  # installs nothing where the image has it, in whatever version
                    spec.instructions.append(Instruction("PIP", ["fastapi"]))
                else:
                    function.image.tried_id = image_id_of(spec)
                found[key] = (image_id_of(spec), spec)
        return found

    def _build(self, images: dict[str, ImageSpec]) -> dict[str, ImageBuilt]:
        """Sees to it that the images are there, all at once. Raises the first failure."""

        def build(image_id: str) -> ImageBuilt:
            return built(self._link, self._app_id, image_id, images[image_id], self._report)

        return dict(zip(images, all_at_once(build, list(images)), strict=True))

    def _check_pythons(self, functions: list[AnyFunction], pythons: dict[ImageKey, str]) -> None:
        """Compares the Python here with that of each image. Raises InvalidError where a function can't work so."""
        others: dict[str, list[str]] = {}
        for function in functions:
            python = pythons[image_key(function)]
            if not python:
                raise InvalidError(
                    f"the image of {function.tag} has no Python, which functions need; begin with "
                    "Image.debian_slim(), or with an image of a registry that has one"
                )
            if python == PYTHON:
                continue
            others.setdefault(python, []).append(function.tag)
            if is_by_value(function):
                raise InvalidError(
                    f"{function.tag} goes by value, and such functions need the same Python on both sides: its image "
                    f"has {python}, this is {PYTHON}. Use Image.debian_slim(python_version={PYTHON!r}), or put the "
                    "function in a module and leave serialized=True away"
                )
        for python, tags in others.items():
            self._say_other_python(python, tags)

    def _say_other_python(self, python: str, tags: list[str]) -> None:
        text = (
            f"{', '.join(tags)}: Python {python} in the image, {PYTHON} here. Values travel between them; functions "
            "and classes that go by value may not"
        )
        if self._report is not None:
            self._report.say(text, "yellow")
        else:
            warnings.warn(text, stacklevel=2)

    # -- functions

    def _spec(
        self, function: AnyFunction, image_id: str, image: ImageSpec, mounts: list[FileRef]
    ) -> FunctionSpec:
        import cloudpickle

        options = function.options
        by_value = is_by_value(function)
        return FunctionSpec(
            function_id=function.function_id,
            tag=function.tag,
            module=import_name(function.module),
            qualname=function.qualname,
            definition="serialized" if by_value else function.definition,
            serialized=self._serialized(function) if by_value else "",
            is_generator=function.is_generator,
            image_id=image_id,
            image=image,
            mounts=mounts,
            resources=self._resources[function.tag],
            scaling=scaling_of(function),
            timeout_s=options.timeout_s,
            startup_timeout_s=options.startup_timeout_s,
            env=options.env,
            secret_ids=[self.secret(secret) for secret in options.secrets],
            volumes=self._mounted_volumes(options.volumes),
            buckets=[self._bucket(path, bucket) for path, bucket in options.buckets.items()],
            single_use=options.single_use,
            block_network=options.block_network,
            cluster_size=options.cluster_size,
            rdma=options.rdma,
            fabric_size=options.fabric_size,
            restricted=options.restricted,
            python=PYTHON,
            cloudpickle=cloudpickle.__version__,
            class_spec=function.class_spec() if function.class_spec is not None else None,
            concurrency=Concurrency(options.max_inputs, options.target_inputs),
            batching=Batching(options.batch_size, options.batch_wait_ms) if options.batch_size else None,
            snapshot=options.snapshot,
            schedule=options.schedule,
            retries=options.retries if function.web is None else None,
            web=function.web,
        )

    def _mounts(self, function: AnyFunction) -> list[FileRef]:
        """The source of a function, and over it the files that its image brings."""
        source: list[FileRef] = []
        if function.options.include_source and not is_by_value(function):
            if function.module not in self._sources:
                files = source_files(function.module)
                self._sources[function.module] = self._uploader.references(files)
            source = self._sources[function.module]
        brought = self._uploader.references(function.image.mounts())
        return list({file.path: file for file in (*source, *brought)}.values())

    def _serialized(self, function: AnyFunction) -> str:
        """The blob of a function that goes by value. Raises InvalidError where it is too large."""
        content = pickled(function.get_raw_f())
        if len(content) > LARGEST_SERIALIZED:
            raise InvalidError(
                f"{function.tag} pickles to {size(len(content))}, more than {size(LARGEST_SERIALIZED)}: it refers to "
                "large data; pass them as arguments, or keep them in a volume or the image"
            )
        return self._uploader.content(content)

    # -- what functions refer to

    def references(self, files: Sequence[LocalFile], /) -> list[FileRef]:
        """Sees to it that the server has these files."""
        return self._uploader.references(files)

    def content(self, content: bytes, /) -> str:
        """The same for content that is no file; its digest."""
        return self._uploader.content(content)

    def image(self, step: Step, /) -> ImageInfo:
        """The image that was built before and that a step names."""
        if id(step) not in self._known_images:
            self._known_images[id(step)] = run(found(step))
        return self._known_images[id(step)]

    def secret(self, secret: Secret, /) -> str:
        """The id of a secret, kept with the app where it has no name."""
        if id(secret) not in self._secrets:
            answer, _ = self._link.request(request_of(secret, self._app_id, self._environment))
            self._secrets[id(secret)] = (
                answer.secret_id if isinstance(answer, SecretKept) else answer.object_id
            )
        return self._secrets[id(secret)]

    def _mounted_volumes(self, volumes: dict[str, Volume]) -> list[VolumeMount]:
        return [
            VolumeMount(path, self.volume(volume), volume.is_read_only, volume.sub_path)
            for path, volume in volumes.items()
        ]

    def _bucket(self, path: str, bucket: CloudBucketMount) -> BucketMount:
        return BucketMount(
            path,
            bucket.bucket_name,
            endpoint_url=bucket.bucket_endpoint_url or "",
            prefix=bucket.key_prefix or "",
            secret_id=self.secret(bucket.secret) if bucket.secret is not None else "",
            read_only=bucket.read_only,
            requester_pays=bucket.requester_pays,
            path_style=bucket.force_path_style,
        )

    def volume(self, volume: Volume, /) -> str:
        """The id of a volume, made where it is missing and asks for that."""
        if volume.name is None:  # by its id, or ephemeral
            return volume.object_id
        key = (volume.environment_name or self._environment, volume.name)
        if key not in self._volumes:
            answer, _ = self._link.request(FindVolume(volume.name, key[0], volume.create_if_missing))
            assert isinstance(answer, FoundVolume), answer
            self._volumes[key] = answer.volume_id
        volume._object_id = self._volumes[key]  # pyright: ignore[reportPrivateUsage]
        return volume._object_id  # pyright: ignore[reportPrivateUsage]

    # -- what is said

    def _tell(self, specs: list[FunctionSpec], urls: dict[str, list[str]]) -> None:
        report = self._report
        if report is None:
            return
        report.expect([spec.tag for spec in specs])
        made = [shown(spec.tag) for spec in specs[:5]] + (
            [f"{len(specs) - 5} more"] if len(specs) > 5 else []
        )
        parts = [", ".join(made)] if made else []
        parts += [f"volume {name}" for _, name in self._volumes]
        if self._uploader.files_sent:
            parts.append(f"{count(self._uploader.files_sent, 'file')} sent ({size(self._uploader.sent)})")
        report.say(f"✓ Created {' · '.join(parts) or 'an app without functions'}")
        for tag, addresses in urls.items():
            report.say(f"✓ Created web function {tag} => {' · '.join(addresses)}")


def scaling_of(function: AnyFunction) -> Scaling:
    """How many containers it has. A class that can't be made without parameters has none of its own: each set of
    parameters has a pool."""
    scaling = function.options.scaling()
    kind = function.class_spec() if function.class_spec is not None else None
    needs = kind is not None and any(not parameter.has_default for parameter in kind.parameters)
    return without_minimum(scaling) if needs else scaling


def image_key(function: AnyFunction) -> ImageKey:
    """Tells the image of a function from those of others; and whether FastAPI is to be on top of it."""
    webs = [function.web]
    if function.class_spec is not None:
        webs += [method.web for method in function.class_spec().methods]
    return id(function.image), any(web is not None and web.kind == "fastapi" for web in webs)


def is_by_value(function: AnyFunction) -> bool:
    """Whether containers get the function itself and not its module."""
    return function.definition == "serialized" or not import_name(function.module)


def without_gpus(resources: Resources | None) -> Resources | None:
    """The same for a worker that has none to give."""
    return None if resources is None else replace(resources, gpus=[])


def less_than(asked: Resources, given: Resources) -> str:
    """What is given where that is less than was asked; else nothing."""
    parts: list[str] = []
    if given.cpu_milli < asked.cpu_milli:
        parts.append(f"{given.cpu_milli / 1000:g} of {asked.cpu_milli / 1000:g} cores")
    if given.memory_mib < asked.memory_mib:
        parts.append(f"{given.memory_mib} of {asked.memory_mib} MiB of memory")
    return " and ".join(parts)


def pickled(function: Callable[..., Any]) -> bytes:
    """A function by value, with what it refers to in its own module; other modules go by their names."""
    import cloudpickle

    from ..exception import SerializationError
    from ..serialization import PROTOCOL

    module = sys.modules.get(function.__module__)
    registered = module is not None and module.__name__ != "__main__" and module.__name__ in sys.modules
    if registered:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(function, protocol=PROTOCOL)
    except Exception as error:
        raise SerializationError(
            f"the function {function.__qualname__} can't be sent by value, for it refers to something that can't be "
            f"pickled: {error}"
        ) from error
    finally:
        if registered:
            cloudpickle.unregister_pickle_by_value(module)


def all_at_once(work: Callable[[str], Any], items: list[str]) -> list[Any]:
    """Does the same with each item, in threads where there are several. Raises the first failure.

    In threads that the interpreter does not wait for at its end, as it does for those of a pool: Ctrl-C ends it at once.
    """
    if len(items) < 2:
        return [work(item) for item in items]
    ended: SimpleQueue[tuple[str, Any, BaseException | None]] = SimpleQueue()

    def one(item: str) -> None:
        try:
            ended.put((item, work(item), None))
        except BaseException as error:
            ended.put((item, None, error))

    for item in items:
        threading.Thread(target=one, args=(item,), daemon=True).start()
    results: dict[str, Any] = {}
    for _ in items:
        item, result, error = ended.get()
        if error is not None:
            raise error
        results[item] = result
    return [results[item] for item in items]
