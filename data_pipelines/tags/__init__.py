"""Tags of pictures in shards: given by a tagger, corrected by hand, and the thresholds that a tagger gives them at."""
