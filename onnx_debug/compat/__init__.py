"""Every private name of torch and of other packages, each with a fallback. Any process."""
