"""`Diagnosis` -> str: text and static HTML. Pure, without torch; both say the same facts with the words of `reasons` and `words`."""
