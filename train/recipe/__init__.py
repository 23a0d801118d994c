"""How a run is trained, apart from its method: recipes, weights, schedules, optimisers."""
