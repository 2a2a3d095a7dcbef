"""Backups: made, verified, given back, thinned out (`callstream backup`)."""
