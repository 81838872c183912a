"""The interactive page: module tree, views and Netron, packed for the browser; `static/` is what runs there."""
