"""Where a question is answered: in forks of the user's process (`forked`), or in that process itself (`in_process`)."""
