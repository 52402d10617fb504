"""What people do after a verdict: decide, release, recall, freeze, replay, trace. Shell."""
