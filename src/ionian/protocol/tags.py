"""Tags of functions: their names in their app. All methods of the class `Model` run in the function `Model.*`."""

from __future__ import annotations

_SERVICE = ".*"


def service_tag(class_name: str) -> str:
    """The tag of the function that runs all methods of a class."""
    return class_name + _SERVICE


def method_service_tag(method: str) -> str:
    """The same for a method's name, such as `Model.predict`."""
    return service_tag(method.rpartition(".")[0])


def shown(tag: str) -> str:
    """A function as people name it: what runs all methods of a class is the class to them."""
    return tag.removesuffix(_SERVICE)
