"""Before a run: what data there is (`init`), and what in it stands in the way (`check`)."""
