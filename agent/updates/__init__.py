"""Signed updates of models and grammars that roll back by themselves."""
