"""The model run as it is: recording its calls, packing values, further inputs to run it on. Recorder and trial processes."""
