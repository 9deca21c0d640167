"""Model packages and the sessions that run them."""
