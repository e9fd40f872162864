"""Calls a deployed function once by its name with the words of the command line, and prints the result."""

import sys

from ionian import link
from ionian.function import handle
from ionian.protocol.calls import FindFunction

app_name, tag, *arguments = sys.argv[1:]
found, _ = link.current().request(FindFunction(app_name, tag))
print(handle(found.function_id, found.tag, found.is_generator).remote(*arguments), flush=True)
