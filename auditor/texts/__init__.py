"""What is hidden, deceptive or known to be bad in texts. Pure."""
