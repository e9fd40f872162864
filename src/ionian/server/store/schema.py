"""The tables, as typed rows. A change here comes with a migration in `migrations/versions`; a test compares them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

# Times are seconds since 1970, for display and retention only: deadlines live on monotonic clocks elsewhere.


class Row(MappedAsDataclass, DeclarativeBase):
    """A row of the store; after its transaction it is a plain value."""

    type_annotation_map = {str: String(255), float: Float(), bytes: LargeBinary()}  # noqa: RUF012


class Epoch(Row):
    """One start of the server."""

    __tablename__ = "epochs"
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    started_at: Mapped[float]


class Environment(Row):
    """A name space of apps, volumes and secrets."""

    __tablename__ = "environments"
    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[float]
    environment_id: Mapped[str] = mapped_column(default="")
    web_suffix: Mapped[str] = mapped_column(default="")  # tells its web addresses from those of others
    deleted_at: Mapped[float | None] = mapped_column(default=None)  # its deletion began


class App(Row):
    """An app. `state` is one of protocol.apps.AppState."""

    __tablename__ = "apps"
    app_id: Mapped[str] = mapped_column(primary_key=True)
    environment: Mapped[str] = mapped_column(ForeignKey("environments.name"), index=True)
    name: Mapped[str]
    detach: Mapped[bool]
    client: Mapped[str]  # the peer that made it: with its session an app that isn't detached ends
    state: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float]
    stopped_at: Mapped[float | None] = mapped_column(default=None)
    reason: Mapped[str] = mapped_column(Text, default="")
    version: Mapped[int] = mapped_column(Integer, default=0)  # of a deployed one: the newest, 1, 2, 3 …
    deployed_at: Mapped[float | None] = mapped_column(default=None)
    tags: Mapped[str] = mapped_column(Text, default="{}")  # JSON


class Version(Row):
    """A version of a deployed app: what each deploy or rollback made."""

    __tablename__ = "versions"
    app_id: Mapped[str] = mapped_column(ForeignKey("apps.app_id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    deployed_at: Mapped[float]
    tag: Mapped[str]
    client_version: Mapped[str]
    commit: Mapped[str]
    user: Mapped[str]
    from_version: Mapped[int] = mapped_column(Integer)  # of a rollback: what it brought back; else 0
    specs: Mapped[str] = mapped_column(Text)  # a list of protocol.spec.FunctionSpec as JSON


class Function(Row):
    """A function of an app; `spec` is its protocol.spec.FunctionSpec as JSON."""

    __tablename__ = "functions"
    __table_args__ = (UniqueConstraint("app_id", "tag", name="functions_app_tag"),)
    function_id: Mapped[str] = mapped_column(primary_key=True)
    app_id: Mapped[str] = mapped_column(ForeignKey("apps.app_id", ondelete="CASCADE"), index=True)
    environment: Mapped[str]
    tag: Mapped[str]
    spec: Mapped[str] = mapped_column(Text)


class Variant(Row):
    """A function with other options, or a class with its parameters; its id follows from both."""

    __tablename__ = "variants"
    function_id: Mapped[str] = mapped_column(primary_key=True)
    base_id: Mapped[str] = mapped_column(index=True)
    app_id: Mapped[str] = mapped_column(ForeignKey("apps.app_id", ondelete="CASCADE"), index=True)
    overrides: Mapped[str] = mapped_column(Text)  # a protocol.spec.Overrides as JSON
    scaling: Mapped[str | None] = mapped_column(
        Text, default=None
    )  # what update_autoscaler made of it, as JSON


class Scheduled(Row):
    """A function of a deployed app that runs by itself."""

    __tablename__ = "schedules"
    function_id: Mapped[str] = mapped_column(primary_key=True)
    app_id: Mapped[str] = mapped_column(ForeignKey("apps.app_id", ondelete="CASCADE"), index=True)
    schedule: Mapped[str] = mapped_column(Text)  # a protocol.spec.Schedule as JSON
    next_at: Mapped[float] = mapped_column(index=True)
    last_at: Mapped[float | None] = mapped_column(default=None)


class Call(Row):
    """A spawned call: kept until its results expire."""

    __tablename__ = "calls"
    __table_args__ = (
        Index("ix_calls_waiting", "function_id", "finished_at", "created_at"),
        Index("ix_calls_by_time", "environment", "created_at", "call_id", "app_id"),
        Index("ix_calls_by_function", "environment", "tag", "created_at", "call_id", "app_id"),
        Index(
            "ix_calls_cancelled",
            "environment",
            "created_at",
            "call_id",
            sqlite_where=text("cancelled IS 1"),
            postgresql_where=text("cancelled IS true"),
        ),
    )
    call_id: Mapped[str] = mapped_column(primary_key=True)
    app_id: Mapped[str] = mapped_column(index=True)
    environment: Mapped[str]
    function_id: Mapped[str]
    tag: Mapped[str]
    parent: Mapped[str] = mapped_column(index=True)  # the input in which it was made
    created_at: Mapped[float]
    total: Mapped[int] = mapped_column(Integer, default=0)  # inputs so far
    complete: Mapped[bool] = mapped_column(default=False)  # no more inputs follow
    done: Mapped[int] = mapped_column(Integer, default=0)  # inputs that have a result
    cancelled: Mapped[bool] = mapped_column(default=False)
    finished_at: Mapped[float | None] = mapped_column(default=None, index=True)
    caller: Mapped[str] = mapped_column(default="")  # whose inputs they are: a client or a container


class CallInputs(Row):
    """Inputs of a spawned call that came together: indexes from `start` to before `stop`."""

    __tablename__ = "call_inputs"
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True)
    start: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    stop: Mapped[int] = mapped_column(Integer)
    blobs: Mapped[str] = mapped_column(Text)  # digests that the payload names, one a line
    columns: Mapped[bytes]  # the header of their batch
    payload: Mapped[bytes]


class CallResults(Row):
    """Results of a spawned call that came together; `low` and `high` are the least and the greatest index.

    `low` is -1 where the payload is the failure of all inputs of an ended call that have no other result.
    """

    __tablename__ = "call_results"
    __table_args__ = (Index("ix_call_results_low", "call_id", "low"),)
    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, init=False
    )
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.call_id", ondelete="CASCADE"))
    low: Mapped[int] = mapped_column(Integer)
    high: Mapped[int] = mapped_column(Integer)
    blobs: Mapped[str] = mapped_column(Text)
    columns: Mapped[bytes]
    payload: Mapped[bytes]


class CallTry(Row):
    """The retries that an input of a spawned call has used, while it has no result."""

    __tablename__ = "call_tries"
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)  # of the input
    used: Mapped[int] = mapped_column(Integer)
    attempt: Mapped[int] = mapped_column(BigInteger)  # no older one counts any more


class FailedInput(Row):
    """An input that ended in a failure, kept to be run again by a person."""

    __tablename__ = "failed_inputs"
    input_id: Mapped[str] = mapped_column(primary_key=True)
    app_id: Mapped[str] = mapped_column(index=True)
    environment: Mapped[str]
    spec: Mapped[str] = mapped_column(Text)  # its function then: a protocol.spec.FunctionSpec as JSON
    code: Mapped[int] = mapped_column(Integer)  # of the input: BLOB, or 0
    payload: Mapped[bytes]
    failure: Mapped[str] = mapped_column(Text)  # the last line of its traceback
    failed_at: Mapped[float] = mapped_column(index=True)


class NamedObject(Row):
    """An object that is found by its name (a dict, a queue, a volume), or an ephemeral one, which has none."""

    __tablename__ = "objects"
    __table_args__ = (UniqueConstraint("kind", "environment", "name", name="objects_kind_environment_name"),)
    object_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]  # one of protocol.objects.ObjectKind
    environment: Mapped[str] = mapped_column(ForeignKey("environments.name"))
    name: Mapped[str | None]
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(default="")
    kept_until: Mapped[float | None] = mapped_column(default=None, index=True)  # None: until it is deleted
    isolated: Mapped[int] = mapped_column(
        Integer, default=0
    )  # of a volume: each container has a copy of its own


class VolumeVersion(Row):
    """The newest version of a volume that containers of several machines have; others have none."""

    __tablename__ = "volume_versions"
    volume_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)  # how many there were
    manifest: Mapped[str]  # the digest of the blob with its files
    made_at: Mapped[float]
    bucket: Mapped[str] = mapped_column(Text, default="")  # where its content is; "": on the server's disk


class VolumeCommit(Row):
    """A commit whose answer may not have arrived: sent again, it is not done again."""

    __tablename__ = "volume_commits"
    volume_id: Mapped[str] = mapped_column(primary_key=True)
    commit_id: Mapped[str] = mapped_column(primary_key=True)
    manifest: Mapped[str]  # the version that it was answered
    made_at: Mapped[float]


class DictItem(Row):
    """An entry of a dict."""

    __tablename__ = "dict_items"
    object_id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(primary_key=True)  # of the key
    key: Mapped[bytes]
    value: Mapped[bytes]
    is_blob: Mapped[bool]  # the value stands for its blob
    used_at: Mapped[float] = mapped_column(index=True)


class QueuePartition(Row):
    """A partition of a queue in which there are items."""

    __tablename__ = "queue_partitions"
    object_id: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[bytes] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(Integer)
    last: Mapped[int] = mapped_column(BigInteger)  # the position of the newest item
    expires_at: Mapped[float] = mapped_column(index=True)


class QueueItem(Row):
    """An item of a queue."""

    __tablename__ = "queue_items"
    object_id: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[bytes] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    value: Mapped[bytes]
    is_blob: Mapped[bool]


class ItemAnswer(Row):
    """What came of operations on dicts and queues, until who asked has confirmed that it knows."""

    __tablename__ = "item_answers"
    request_id: Mapped[str] = mapped_column(primary_key=True)
    payload: Mapped[bytes]
    taken: Mapped[str] = mapped_column(Text)  # what is given back to its queue else: a list in JSON


class Secret(Row):
    """A secret of an app, sealed. Its data key is wrapped by the master key that `key_id` names."""

    __tablename__ = "secrets"
    app_id: Mapped[str] = mapped_column(ForeignKey("apps.app_id", ondelete="CASCADE"), primary_key=True)
    secret_id: Mapped[str] = mapped_column(primary_key=True)
    environment: Mapped[str]
    key_id: Mapped[str]
    wrapped_key: Mapped[bytes]
    sealed: Mapped[bytes]
    created_at: Mapped[float]


class SecretValue(Row):
    """The values of a secret that has a name, sealed likewise. Each change of them is a version: 1, 2, 3 …"""

    __tablename__ = "secret_values"
    object_id: Mapped[str] = mapped_column(
        ForeignKey("objects.object_id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(Integer)
    updated_at: Mapped[float]
    last_used_at: Mapped[float | None]
    key_id: Mapped[str]
    wrapped_key: Mapped[bytes]
    sealed: Mapped[bytes]


class SealedKey(Row):
    """A key of the server's own, wrapped by the master key."""

    __tablename__ = "sealed_keys"
    name: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str]
    wrapped_key: Mapped[bytes]


class Image(Row):
    """An image that was built for an environment, or whose last build failed; `spec` is its protocol.spec.ImageSpec as JSON."""

    __tablename__ = "images"
    environment: Mapped[str] = mapped_column(primary_key=True)
    image_id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]  # one of protocol.images.ImageState
    spec: Mapped[str] = mapped_column(Text)
    app: Mapped[str]  # the name of the app for which it was built first
    built_by: Mapped[str]
    built_at: Mapped[float] = mapped_column(index=True)
    used_at: Mapped[float]
    seconds: Mapped[float] = mapped_column(default=0.0)
    python: Mapped[str] = mapped_column(default="")
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    error: Mapped[str] = mapped_column(Text, default="")


class ImagePublication(Row):
    """A name was given to an image: the newest of a name is what it means."""

    __tablename__ = "image_publications"
    __table_args__ = (Index("ix_image_publications_name", "environment", "name"),)
    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, init=False
    )
    environment: Mapped[str]
    name: Mapped[str]  # "tools:v2"
    image_id: Mapped[str] = mapped_column(index=True)
    published_at: Mapped[float]
    published_by: Mapped[str]


class PackedImage(Row):
    """What a worker knew by a name, and gave to another: an image, a step or a base, whose layers are blobs.

    When it was used last is what the blobs' times say.
    """

    __tablename__ = "packed_images"
    name: Mapped[str] = mapped_column(primary_key=True)
    arch: Mapped[str] = mapped_column(primary_key=True)
    known: Mapped[str] = mapped_column(Text)  # as workers keep it
    layers: Mapped[str] = mapped_column(Text)  # a list of protocol.layers.PackedLayer as JSON, lowest first


class BlobGrant(Row):
    """An app's containers may read this blob."""

    __tablename__ = "blob_grants"
    app_id: Mapped[str] = mapped_column(ForeignKey("apps.app_id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    environment: Mapped[str]
    granted_at: Mapped[float]


class Worker(Row):
    """A worker that joined. After a restart the alive ones are waited for before inputs are sent again."""

    __tablename__ = "workers"
    worker_id: Mapped[str] = mapped_column(primary_key=True)
    environment: Mapped[str]  # "": it serves all
    name: Mapped[str]
    token_id: Mapped[str]
    alive: Mapped[bool] = mapped_column(index=True)
    last_seen: Mapped[float]


class ContainerUsage(Row):
    """What one container used, from its start to its end."""

    __tablename__ = "usage"
    container_id: Mapped[str] = mapped_column(primary_key=True)
    environment: Mapped[str]
    app_id: Mapped[str] = mapped_column(index=True)
    function_id: Mapped[str] = mapped_column(index=True)
    worker_id: Mapped[str]
    ended_at: Mapped[float] = mapped_column(index=True)
    wall_s: Mapped[float] = mapped_column(default=0.0)
    cpu_s: Mapped[float] = mapped_column(default=0.0)
    memory_gib_s: Mapped[float] = mapped_column(default=0.0)
    gpu_s: Mapped[float] = mapped_column(default=0.0)


class UsageAmounts(MappedAsDataclass):
    """Sums of protocol.usage.Amounts."""

    wall_s: Mapped[float]
    cpu_s: Mapped[float]
    memory_gib_s: Mapped[float]
    gpu_s: Mapped[float]
    used_cpu_s: Mapped[float]
    used_memory_gib_s: Mapped[float]


class UsageSlot(UsageAmounts, Row):
    """What a function's containers used in a quarter of an hour, on one protocol.usage.Line."""

    __tablename__ = "usage_slots"
    function_id: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, index=True)
    line: Mapped[str] = mapped_column(primary_key=True)
    gpu: Mapped[str] = mapped_column(primary_key=True)  # the model, or ""
    root_id: Mapped[str]  # of a variant: its function; else the function itself
    app_id: Mapped[str] = mapped_column(index=True)
    environment: Mapped[str]
    tag: Mapped[str]


class UsageMonth(UsageAmounts, Row):
    """What the apps of a name used in a calendar month, UTC: the sum of their quarters of an hour in it."""

    __tablename__ = "usage_months"
    month: Mapped[str] = mapped_column(primary_key=True)  # "2026-11"
    environment: Mapped[str] = mapped_column(primary_key=True)
    app: Mapped[str] = mapped_column(primary_key=True)  # its name; the id of one that is not known
    gpu: Mapped[str] = mapped_column(primary_key=True)  # the model, or ""


class UsageDetail(UsageAmounts, Row):
    """What one container, template or call used, while that is kept."""

    __tablename__ = "usage_details"
    id: Mapped[str] = mapped_column(primary_key=True)
    gpu: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]  # "container", "template" or "call"
    function_id: Mapped[str]
    root_id: Mapped[str]
    app_id: Mapped[str] = mapped_column(index=True)
    environment: Mapped[str]
    tag: Mapped[str]
    first_at: Mapped[float]
    last_at: Mapped[float] = mapped_column(index=True)


class UsageMark(Row):
    """Up to where the readings of one process of a worker are in the sums."""

    __tablename__ = "usage_marks"
    source: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[float] = mapped_column(index=True)


class Budget(Row):
    """What an app, or an environment as a whole, may cost in a month, in the currency of the prices."""

    __tablename__ = "budgets"
    environment: Mapped[str] = mapped_column(primary_key=True)
    app: Mapped[str] = mapped_column(primary_key=True)  # its name; "": the environment
    amount: Mapped[float]
    told: Mapped[
        str
    ]  # what people were told last: "2026-11 1" that it is nearly used up, "2026-11 2" that it is


class FunctionMinute(Row):
    """What became of a function's inputs and containers in one minute, as one start of the server counted it."""

    __tablename__ = "function_minutes"
    __table_args__ = (Index("ix_function_minutes_root", "root_id", "minute"),)
    function_id: Mapped[str] = mapped_column(primary_key=True)
    minute: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, index=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    root_id: Mapped[str]  # of a variant: its function; else the function itself
    app_id: Mapped[str] = mapped_column(index=True)
    environment: Mapped[str]
    succeeded: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    timed_out: Mapped[int] = mapped_column(BigInteger)
    cancelled: Mapped[int] = mapped_column(BigInteger)
    started: Mapped[int] = mapped_column(BigInteger)  # containers
    container_errors: Mapped[int] = mapped_column(BigInteger)
    running: Mapped[int] = mapped_column(Integer)  # inputs, at its end
    creating: Mapped[int] = mapped_column(Integer)  # containers that start, at its end
    run: Mapped[str] = mapped_column(Text)  # histograms of durations (durations.py): JSON, bucket → number
    latency: Mapped[str] = mapped_column(Text)
    startup: Mapped[str] = mapped_column(Text)
    waiting: Mapped[int] = mapped_column(BigInteger, default=0)  # inputs, the most at a time
    containers: Mapped[int] = mapped_column(Integer, default=0)  # likewise


class Token(Row):
    """A token; its secret half is kept as a hash."""

    __tablename__ = "tokens"
    token_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]  # "client" or "worker"
    environment: Mapped[str]  # "": all of them
    name: Mapped[str]
    secret_hash: Mapped[str]
    created_at: Mapped[float]
    revoked_at: Mapped[float | None] = mapped_column(default=None)
    expires_at: Mapped[float | None] = mapped_column(default=None)
    role: Mapped[str] = mapped_column(default="admin", server_default="admin")
