"""What runs a model on one window; one module per family."""
