"""Where telephony leaves recordings in clear, until they are taken in: a folder, or a bucket."""
