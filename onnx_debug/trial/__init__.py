"""One trial, stage by stage: eager, capture, translate, optimize, load, run, compare. Runs in a trial's own process."""
