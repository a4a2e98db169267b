"""Search for hyperparameters on validation users: spaces, trials and their table."""
