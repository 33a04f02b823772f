"""Pictures of runs: thumbnails, contact sheets, galleries, and the `page/` folder that keeps them for the report."""
