"""What other systems know beside the calls: rows of their tables become messages."""
