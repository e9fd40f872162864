"""Calls a deployed function once by its name with the words of the command line, and prints the result."""

import sys

import ionian as modal

app_name, tag, *arguments = sys.argv[1:]
print(modal.Function.from_name(app_name, tag).remote(*arguments), flush=True)
