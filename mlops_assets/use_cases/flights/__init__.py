"""The worked use case: flights that left New York in 2013, from raw files to features."""
