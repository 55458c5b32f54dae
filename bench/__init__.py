"""`make bench`: what Corral adds to the raw thing, as ratios taken in one run on one machine."""
