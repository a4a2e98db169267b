"""The metrics as modules for `evaluate.load`."""
