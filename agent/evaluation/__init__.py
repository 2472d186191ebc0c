"""How well a bundle and a grammar work on recordings: the figures a person decides by."""
