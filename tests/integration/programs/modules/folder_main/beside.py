def more(value: int) -> int:
    return value + 1
