"""What is trained: methods, and the hyper-parameters they share."""
