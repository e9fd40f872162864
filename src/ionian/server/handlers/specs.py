"""What a published function must be. The client checks the same where it is written; this guards the server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from posixpath import normpath

from ionian.machine.beneath import BadPath, parts_of
from ionian.protocol.clusters import MOST_MEMBERS
from ionian.protocol.images import every_instruction
from ionian.protocol.spec import BucketMount, FunctionSpec, ImageSpec, Scaling
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from ..blobs import DIGEST
from ..next_run import BadSchedule, next_run
from ..store.schema import App
from ..store.versions import digests_of
from .context import Context
from .names import check_id

TAG = re.compile(r"[\w.*<>\[\], -]{1,200}\Z")
IMAGE_ID = re.compile(r"im-[0-9A-Za-z]{26}\Z")
DAY_S = 24 * 3600.0
FUNCTIONS_MAX = 10_000
RETRIES_MAX = 10_000
INPUTS_MAX = 10_000
BATCH_MAX = 1_000
BATCH_WAIT_MAX_MS = 600_000


def check_specs(specs: Sequence[FunctionSpec]) -> None:
    """Refuses a set of functions with one that no container could run."""
    if len(specs) > FUNCTIONS_MAX:
        raise Refused(
            "InvalidError", f"expected up to {FUNCTIONS_MAX:,} functions in an app, got {len(specs):,}"
        )
    tags: set[str] = set()
    ids: set[str] = set()
    for spec in specs:
        if spec.tag in tags or spec.function_id in ids:
            raise Refused("InvalidError", f"expected each function once in an app, got {spec.tag!r} twice")
        tags.add(spec.tag)
        ids.add(spec.function_id)
        check_spec(spec)


def check_spec(spec: FunctionSpec) -> None:
    """Refuses a function that no container could run."""
    check_id("fu", spec.function_id)
    _expect(bool(TAG.match(spec.tag)), spec, "name", "1 to 200 characters of a Python name", spec.tag)
    _expect(bool(IMAGE_ID.match(spec.image_id)), spec, "image", "an id like im-…", spec.image_id)
    _check_times(spec)
    _check_resources(spec)
    _check_scaling(spec)
    _check_cluster(spec)
    _check_paths(spec)
    _check_inputs(spec)
    _check_schedule(spec)
    for name, value in spec.env.items():
        good = bool(name) and "=" not in name and "\0" not in name + value
        _expect(good, spec, "env", "names without '=' and values without NUL characters", name)
    for digest in digests_of(spec):
        _expect(bool(DIGEST.match(digest)), spec, "files", "SHA-256 digests", digest)


def _check_times(spec: FunctionSpec) -> None:
    for name, seconds in (("timeout", spec.timeout_s), ("startup_timeout", spec.startup_timeout_s)):
        _expect(1 <= seconds <= DAY_S, spec, name, "1 to 86400 seconds", seconds)


def _check_schedule(spec: FunctionSpec) -> None:
    if spec.schedule is None:
        return
    try:
        next_run(spec.schedule, time.time())
    except BadSchedule as error:
        raise Refused("InvalidError", f"function {spec.tag!r}, schedule: {error}") from None
    _expect(not spec.is_generator, spec, "schedule", "a function that returns", "a generator")


def _check_resources(spec: FunctionSpec) -> None:
    wanted = spec.resources
    _expect(wanted.cpu_milli >= 1, spec, "cpu", "at least 0.001 cores", wanted.cpu_milli / 1000)
    _expect(wanted.memory_mib >= 1, spec, "memory", "at least 1 MiB", wanted.memory_mib)
    for name, request, limit in (
        ("cpu", wanted.cpu_milli, wanted.cpu_limit_milli),
        ("memory", wanted.memory_mib, wanted.memory_limit_mib),
    ):
        _expect(
            limit == 0 or limit >= request, spec, name, f"a limit at or over the request of {request}", limit
        )
    _expect(
        wanted.ephemeral_disk_mib >= 0, spec, "ephemeral_disk", "0 MiB or more", wanted.ephemeral_disk_mib
    )
    for gpu in wanted.gpus:
        _expect(bool(gpu.model) and 1 <= gpu.count <= 64, spec, "gpu", "a model and a count of 1 to 64", gpu)


def _check_scaling(spec: FunctionSpec) -> None:
    scaling = spec.scaling
    _expect(scaling.min_containers >= 0, spec, "min_containers", "0 or more", scaling.min_containers)
    _expect(scaling.max_containers >= 0, spec, "max_containers", "0 or more", scaling.max_containers)
    _expect(scaling.buffer_containers >= 0, spec, "buffer_containers", "0 or more", scaling.buffer_containers)
    _expect(
        scaling.max_containers == 0 or scaling.min_containers <= scaling.max_containers,
        spec,
        "min_containers",
        f"no more than max_containers ({scaling.max_containers})",
        scaling.min_containers,
    )
    check_multiples(spec.tag, spec.cluster_size, scaling)
    window = scaling.scaledown_window_s
    _expect(0 < window <= DAY_S, spec, "scaledown_window", "over 0 and up to 86400 seconds", window)


def check_multiples(tag: str, size: int, scaling: Scaling) -> None:
    """Refuses numbers of containers that are no whole clusters."""
    for name in ("min_containers", "max_containers", "buffer_containers"):
        if size > 1 and getattr(scaling, name) % size:
            raise Refused(
                "InvalidError",
                f"function {tag[:200]!r}, {name}: expected a multiple of its cluster's size ({size}), as it counts containers, "
                f"got {getattr(scaling, name)}",
            )


def _check_cluster(spec: FunctionSpec) -> None:
    size = spec.cluster_size
    _expect(0 <= size <= MOST_MEMBERS, spec, "size", f"1 to {MOST_MEMBERS} containers in a cluster", size)
    if size:
        webs = (
            [spec.web, *(method.web for method in spec.class_spec.methods)] if spec.class_spec else [spec.web]
        )
        _expect(not any(webs), spec, "clustered", "no web endpoint", spec.tag)
        _expect(spec.batching is None, spec, "clustered", "a function that is not batched", spec.tag)


def _check_inputs(spec: FunctionSpec) -> None:
    """How its inputs are run: several at once, in batches, again."""
    if (policy := spec.retries) is not None:
        _expect(
            0 <= policy.max_retries <= RETRIES_MAX, spec, "retries", f"0 to {RETRIES_MAX}", policy.max_retries
        )
        _expect(
            policy.backoff_coefficient >= 1,
            spec,
            "backoff_coefficient",
            "1 or more",
            policy.backoff_coefficient,
        )
        delays = all(0 <= delay_s <= DAY_S for delay_s in (policy.initial_delay_s, policy.max_delay_s))
        _expect(delays, spec, "retries", "delays of 0 to 86400 seconds", policy)
        _expect(not spec.is_generator, spec, "retries", "none for a generator", policy.max_retries)
    most, target = spec.concurrency.max_inputs, spec.concurrency.target_inputs
    _expect(1 <= most <= INPUTS_MAX, spec, "max_inputs", f"1 to {INPUTS_MAX}", most)
    _expect(0 <= target <= most, spec, "target_inputs", f"1 to max_inputs ({most})", target)
    if (batching := spec.batching) is not None:
        size, wait_ms = batching.max_batch_size, batching.wait_ms
        _expect(1 <= size <= BATCH_MAX, spec, "max_batch_size", f"1 to {BATCH_MAX}", size)
        _expect(0 <= wait_ms <= BATCH_WAIT_MAX_MS, spec, "wait_ms", f"0 to {BATCH_WAIT_MAX_MS}", wait_ms)
        _expect(not spec.is_generator, spec, "batched", "no generator", spec.tag)


def _check_paths(spec: FunctionSpec) -> None:
    for file in spec.mounts:
        _expect(_absolute(file.path), spec, "files", "absolute paths without . and ..", file.path)
    seen: set[str] = set()
    for bucket in spec.buckets:
        good = _absolute(bucket.path) and bucket.path != "/" and bucket.path not in seen
        _expect(good, spec, "volumes", "different absolute paths below /", bucket.path)
        seen.add(bucket.path)
        _check_bucket(spec, bucket)
    for mount in spec.volumes:
        good = _absolute(mount.path) and mount.path != "/" and mount.path not in seen
        _expect(good, spec, "volumes", "different absolute paths below /", mount.path)
        seen.add(mount.path)
        try:
            parts_of(mount.sub_path)
        except BadPath as error:
            raise Refused("InvalidError", f"function {spec.tag!r}, sub_path: {error}") from None


def _check_bucket(spec: FunctionSpec, bucket: BucketMount) -> None:
    """What becomes an address on the worker."""
    named = f"{bucket.bucket}/{bucket.prefix}"
    plain = (
        bool(bucket.bucket)
        and "/" not in bucket.bucket
        and not set("\0\n") & set(named + bucket.endpoint_url)
    )
    _expect(plain, spec, "bucket_name and key_prefix", "the name of a bucket, and a prefix", named)
    parts = bucket.prefix.rstrip("/").split("/") if bucket.prefix else []
    _expect(
        not {"", ".", ".."} & set(parts), spec, "key_prefix", "a prefix without empty parts", bucket.prefix
    )
    web = not bucket.endpoint_url or bucket.endpoint_url.startswith(("http://", "https://"))
    _expect(web, spec, "bucket_endpoint_url", "an http or https URL", bucket.endpoint_url)


def _absolute(path: str) -> bool:
    return path.startswith("/") and not path.startswith("//") and "\0" not in path and normpath(path) == path


def _expect(good: bool, spec: FunctionSpec, name: str, expected: str, got: object) -> None:
    if not good:
        raise Refused(
            "InvalidError",
            f"function {spec.tag[:200]!r}, {name}: expected {expected}, got {str(got)[:200]!r}",
        )


def check_references(
    app: App, specs: Sequence[FunctionSpec], context: Context, actor: Actor | None = None
) -> None:
    """Refuses functions that refer to blobs, volumes or secrets that are not there, or to secrets that the actor may not
    have (no actor: it was looked at before). Blocks."""
    missing = context.blobs.missing({digest for spec in specs for digest in digests_of(spec)})
    if missing:
        raise Refused(
            "NotFoundError", f"{len(missing)} files of the app were not sent, one is {missing[0]}; run again"
        )
    mounts = [mount for spec in specs for mount in spec.volumes]
    _check_volumes(app, {mount.volume_id for mount in mounts}, context)
    isolated = context.store.volumes.isolated({mount.volume_id for mount in mounts})
    for mount in mounts:
        mount.isolated = mount.volume_id in isolated
    for spec in specs:
        check_volumes(app, spec.image, context)
    wanted = {secret_id for spec in specs for secret_id in (*spec.secret_ids, *spec.bucket_secret_ids)}
    check_secrets(app, wanted, context, actor)


def check_volumes(app: App, image: ImageSpec, context: Context) -> None:
    """Refuses an image with steps that no worker may carry out: volumes of another environment, absurd paths. Blocks."""
    for step in every_instruction(image):
        for mount in step.volumes:
            if not _absolute(mount.path) or mount.path == "/":
                raise Refused(
                    "InvalidError",
                    f"an image step, volumes: expected absolute paths below /, got {mount.path[:200]!r}",
                )
            try:
                parts_of(mount.sub_path)
            except BadPath as error:
                raise Refused("InvalidError", f"an image step, sub_path: {error}") from None
    _check_volumes(app, {mount.volume_id for step in image.instructions for mount in step.volumes}, context)


def _check_volumes(app: App, volume_ids: set[str], context: Context) -> None:
    for volume_id in sorted(context.store.volumes.missing(app.environment, volume_ids)):
        raise Refused(
            "NotFoundError", f"there is no volume {volume_id[:80]!r} in environment {app.environment!r}"
        )


def check_secrets(app: App, secret_ids: Iterable[str], context: Context, actor: Actor | None) -> None:
    """Refuses secrets that an app's containers and builds can't have, or that who asks for them may not hand to them.
    Blocks. No actor: it was looked at before."""
    wanted = sorted(set(secret_ids))
    own = context.store.secrets.find(app.app_id, wanted)
    named = context.store.secrets.environments([each for each in wanted if each not in own])
    for secret_id in wanted:
        if secret_id not in own and secret_id not in named:
            raise Refused(
                "NotFoundError",
                f"app {app.name} has no secret {secret_id[:80]!r}, and there is none of that id with a name; it may have been "
                "deleted",
            )
    if actor is not None:
        for environment in sorted(set(named.values())):
            authorise(actor, "FindSecret", Target(environment))
