"""Updates over the air: what to install, from where, and when to go back."""
