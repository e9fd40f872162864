"""Fills and asks the search service that `ionian deploy examples/search_service.py` has left on the server."""

import ionian as modal

Collection = modal.Cls.from_name("search-service", "Collection")

cooking, computing = Collection(name="cooking"), Collection(name="computing")
cooking.add.remote(
    [
        "A baker lets the dough rise for some hours and bakes the bread in a very hot oven.",
        "Onions are cut small and fried in butter until they are brown and sweet.",
    ]
)
computing.add.remote(
    [
        "The tail command prints the last lines of a file and goes on while the file grows.",
        "A mutex is a lock that one thread holds at a time.",
    ]
)
for collection, question in ((cooking, "How is bread made?"), (computing, "How do I watch a log file?")):
    similarity, text = collection.search.remote(question, count=1)[0]
    print(f"{question}\n  {similarity:.2f}  {text}")
