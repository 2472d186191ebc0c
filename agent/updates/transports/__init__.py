"""The ways by which updates arrive; none of them has to be trusted."""
