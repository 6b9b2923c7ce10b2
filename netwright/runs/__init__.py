"""Doing it: the run's description, its folder and record, the executors, and every step from search to bundle."""
