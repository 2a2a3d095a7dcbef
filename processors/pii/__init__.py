"""Finding and masking what identifies a person in a transcript. `masking.mask` is the way in.

Each kind is a module that holds its data and one function; all of them give `PiiMatch`.
"""
