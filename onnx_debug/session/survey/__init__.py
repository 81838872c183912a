"""Many cases, each diagnosed in a process of its own, through any executor; the answers kept in one file."""
