"""The loss functions, pure, an equation each."""
