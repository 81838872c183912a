"""What fits with what in this installation, found by trying."""
