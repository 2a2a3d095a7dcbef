"""What tests share: servers, stacks, calls and rules, none of it a test."""
