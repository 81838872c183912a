"""What is known of the ways in which an export fails: one entry each, with a code that stays. No torch."""
