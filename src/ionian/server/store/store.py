"""The store: one object a subject. Its methods block; the server calls them in threads."""

from __future__ import annotations

import time

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from .apps import Apps
from .blob_grants import BlobGrants
from .budgets import Budgets
from .call_lists import CallLists
from .call_reads import CallReads
from .call_tries import CallTries
from .calls import Calls
from .counts import CountRows
from .database import Database, StoreError, sqlite_folder
from .environments import Environments
from .failed_inputs import FailedInputs
from .functions import Functions
from .images import Images
from .item_reads import ItemReads
from .items import Items
from .metered import MeteredRows
from .migrate import migrate
from .objects import Objects
from .old_calls import OldCalls
from .old_items import OldItems
from .packed import PackedImages
from .schedules import Schedules
from .schema import Epoch
from .secrets import SecretRows
from .tokens import Tokens
from .usage import UsageRows
from .usage_months import UsageMonths
from .variants import Variants
from .versions import Versions
from .volumes import Volumes
from .workers import Workers

EPOCH_TRIES = 10


class Store:
    """All that the server keeps. Safe to use from any thread.

    ```
    store = Store.open("sqlite:////var/lib/ionian/state.db")
    epoch = store.next_epoch()
    for app in store.apps.live(): ...
    ```
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.environments = Environments(database)
        self.apps = Apps(database)
        self.functions = Functions(database)
        self.variants = Variants(database)
        self.versions = Versions(database)
        self.volumes = Volumes(database)
        self.objects = Objects(database)
        self.images = Images(database)
        self.packed = PackedImages(database)
        self.items = Items(database)
        self.item_reads = ItemReads(database)
        self.old_items = OldItems(database)
        self.secrets = SecretRows(database)
        self.blob_grants = BlobGrants(database)
        self.workers = Workers(database)
        self.usage = UsageRows(database)
        self.budgets = Budgets(database)
        self.metered = MeteredRows(database)
        self.usage_months = UsageMonths(database)
        self.counts = CountRows(database)
        self.schedules = Schedules(database)
        self.failed_inputs = FailedInputs(database)
        self.tokens = Tokens(database)
        self.calls = Calls(database)
        self.call_reads = CallReads(database)
        self.call_lists = CallLists(database)
        self.call_tries = CallTries(database)
        self.old_calls = OldCalls(database)

    @classmethod
    def open(cls, url: str) -> Store:
        """Opens a database and brings it to this version's schema. Raises StoreError."""
        folder = sqlite_folder(url)
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = Database(url)
        try:
            migrate(database)
            store = cls(database)
            store.environments.create("main")
            store.apps.end_unfinished()
            store.apps.purge_stopped()
        except BaseException:
            database.close()
            raise
        return store

    def next_epoch(self) -> int:
        """The number of this start of the server: 1, 2, 3 …"""
        for _ in range(EPOCH_TRIES):
            try:
                with self.database.write() as session:
                    number = (session.scalar(select(func.max(Epoch.number))) or 0) + 1
                    session.add(Epoch(number, time.time()))
                return number
            except IntegrityError:  # another server on this PostgreSQL started at this very moment
                continue
        raise StoreError(
            "could not count this start of the server: others start all the time on this database"
        )

    def close(self) -> None:
        """Closes the database."""
        self.database.close()
