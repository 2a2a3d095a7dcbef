"""What a call is about by its words, as labelled dialogues have taught: beside the rules, never in their place."""
