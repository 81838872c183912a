"""The decompositions, by subject. They are plain functions: users paste them into their own cells."""
