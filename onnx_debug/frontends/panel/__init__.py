"""The live panel in a notebook (ipywidgets): hears the browser, drives a session, shows what it finds."""
