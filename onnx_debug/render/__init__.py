"""A diagnosis as text, HTML and one interactive page: pure functions without torch and without IPython. Any process."""
