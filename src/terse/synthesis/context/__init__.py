"""Context: instances go where a network says that their class fits (Dvornik et al. 2018)."""
