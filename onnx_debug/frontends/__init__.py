"""How one asks: the magics, the live panel, the options of the command line. Runs in the user's process."""
