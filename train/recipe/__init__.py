"""How a run is trained, apart from its method: recipes, trade-offs by direction, schedules."""
