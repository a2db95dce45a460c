"""How the weights are made: data, synthesis, losses, loop and checkpoints."""
