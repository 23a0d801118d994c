"""How a run is trained, apart from its method: recipes, weights by direction, schedules, optimisers."""
