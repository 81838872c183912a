"""A case under examination: drives the search over a runner and assembles the diagnosis. Runs in the user's process."""
