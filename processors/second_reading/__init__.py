"""What a second reader is asked about a call, what of its answer is believed, and how it joins the analysis."""
