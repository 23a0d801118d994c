"""What the model is made of: discriminator, attention, normalisation, dropout, temporal modules."""
