"""The EPIC-KITCHENS-100 challenge: its accuracies, and what is handed in to it."""
