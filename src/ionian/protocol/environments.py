"""Environments: what a client asks of the server about the name spaces of apps, volumes, secrets and so on."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class CreateEnvironment:
    """Makes an environment. Answered by EnvironmentInfo; refused where there is one and `allow_existing` is not said."""

    name: str
    allow_existing: bool = False


@dataclass
class FindEnvironment:
    """Asks for an environment by name or id ("": the asker's own, else main). Answered by EnvironmentInfo."""

    name: str = ""


@dataclass
class EnvironmentInfo:
    """An environment."""

    environment_id: str
    name: str
    web_suffix: str = ""
    created_at: float = 0.0  # seconds since 1970
    apps: int = 0  # that run or are deployed
    budget: float | None = None  # of a month


@dataclass
class ListEnvironments:
    """Asks for the environments that the asker may use. Answered by EnvironmentList."""


@dataclass
class EnvironmentList:
    """The answer to ListEnvironments, by name."""

    environments: list[EnvironmentInfo] = field(default_factory=list[EnvironmentInfo])


@dataclass
class UpdateEnvironment:
    """Gives an environment another name (unless ""), another web suffix or budget (unless None). Answered by EnvironmentInfo."""

    name: str
    new_name: str = ""
    web_suffix: str | None = None
    budget: float | None = None  # what it may cost in a month
    no_budget: bool = False  # it has none from now on


@dataclass
class DeleteEnvironment:
    """Stops the apps of an environment and deletes all that it has; answered when nothing is left."""

    name: str
