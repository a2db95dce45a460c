"""How good it is: phantoms with a planted lesion, and the figures that compare found with true."""
