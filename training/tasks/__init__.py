"""Lightning modules, one a way of fitting."""
