"""What an exchange says of its calls: its lists of them, and what of them did not reach us. Pure."""
