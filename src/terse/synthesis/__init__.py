"""Who proposes placements."""
