"""What makes a failing export work: remedies that are tried on a copy of the case before they are shown.

A remedy never touches the user's model or file; it says what it changes and what it costs.
"""
