"""Kinds of faults that cost time or memory."""

SLOW = {"hang", "trickle"}


HUGE = {"gzip-bomb", "endless-body"}
