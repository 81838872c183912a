"""A standalone script that fails as a culprit does, proven in a clean process."""
