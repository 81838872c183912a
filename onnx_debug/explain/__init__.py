"""From a failure or a difference to the module, the line and the operator behind it. Recorder and trial processes."""
