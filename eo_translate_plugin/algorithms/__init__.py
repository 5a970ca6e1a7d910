"""Processing algorithms: each file declares one."""
