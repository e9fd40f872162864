import dataclasses


@dataclasses.dataclass
class Part:
    number: int
