"""A survey of many models as text, as Markdown and as one static page."""
