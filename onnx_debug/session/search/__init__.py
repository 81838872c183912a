"""The search for the culprits: a generator of questions, without torch. Runs in the user's process."""
