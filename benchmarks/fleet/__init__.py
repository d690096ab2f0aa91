"""A fleet in simulated time: the real scheduler and router, everything else a cost."""
