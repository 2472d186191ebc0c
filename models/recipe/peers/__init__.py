"""Voxline beside other recognizers that run on a CPU: the same grammar, the same recordings, one run."""
