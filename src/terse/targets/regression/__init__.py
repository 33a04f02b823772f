"""Numbers that move with an object's pose: its centre, its keypoints, its angle."""
