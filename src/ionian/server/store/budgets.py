"""What apps and environments may cost in a month."""

from __future__ import annotations

from sqlalchemy import delete, select

from .database import Database
from .schema import Budget


class Budgets:
    """One row for each that has a budget. The app "" is the environment itself."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Budget]:
        """Every budget."""
        with self._database.read() as session:
            return list(session.scalars(select(Budget)))

    def of_environments(self) -> dict[str, float]:
        """The budgets of environments, by name."""
        return {row.environment: row.amount for row in self.all() if not row.app}

    def put(self, environment: str, app: str, amount: float | None) -> None:
        """Sets a budget; None: there is none from now on."""
        with self._database.write() as session:
            row = session.get(Budget, (environment, app))
            if amount is None:
                session.execute(delete(Budget).where(Budget.environment == environment, Budget.app == app))
            elif row is None:
                session.add(Budget(environment, app, amount, ""))
            elif row.amount != amount:
                row.amount, row.told = amount, ""

    def told(self, environment: str, app: str, what: str) -> None:
        """Remembers what people were told last of a budget."""
        with self._database.write() as session:
            row = session.get(Budget, (environment, app))
            if row is not None:
                row.told = what
