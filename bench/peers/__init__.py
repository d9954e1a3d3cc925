"""What the engine is compared with: other ways to the same balances, each as somebody who knows it well would do it."""
