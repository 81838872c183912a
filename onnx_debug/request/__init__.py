"""The export that the user asked for (`case`), and what is wrong with its options. Any process."""
