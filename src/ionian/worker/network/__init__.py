"""The network of a worker's containers: a net namespace each, behind a gateway that leads outwards only."""
