"""The stages of one trial, in order: capture (with translate and optimize), runtime (load and run), compare."""
