"""The processes of one case: the user's (`client`), the fork server, the recorders, one for each trial, and what passes between them."""
