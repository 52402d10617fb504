"""What labels a model expects, and how far a batch, a group or a contributor is from it. Pure."""
