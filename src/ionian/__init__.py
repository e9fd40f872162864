"""Ionian: Modal's programming model as software that anyone can run."""
