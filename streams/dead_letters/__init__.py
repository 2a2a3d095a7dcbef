"""Dead letters, looked after by people: listed, shown masked, tried, published again, given up."""
