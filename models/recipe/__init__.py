"""How a model is made: speech, noise and rooms in; a bundle out. One module per step."""
