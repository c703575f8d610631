"""One module for each kind of input; see `tests.fuzz.target` for what a target has."""
