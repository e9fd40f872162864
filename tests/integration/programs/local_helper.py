def help(number: int) -> int:
    return number + 1
