"""What is shown in a notebook: the panel and the graph inside it."""
