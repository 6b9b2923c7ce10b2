"""Many trials, compared: Pareto front, hypervolume, history and trade-off tables. No torch, no plotting."""
