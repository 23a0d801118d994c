"""The domain adaptation challenge of EPIC-KITCHENS-100: its splits, and its annotation files."""
