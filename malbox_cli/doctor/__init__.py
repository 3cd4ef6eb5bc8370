"""`malbox doctor`: what is wrong with this machine, and what earlier runs have left on it."""
