"""What commands share where they meet people: exit codes, output, options, times, interruption."""
