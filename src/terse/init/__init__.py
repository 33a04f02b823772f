"""`terse init`: a first look at data, and the recipe that fits it."""
