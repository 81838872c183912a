"""What is asked, what was answered, what was found: plain, frozen data without torch. Any process."""
