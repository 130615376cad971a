"""Speed and memory, as ratios of things measured side by side. ``python -m benchmarks`` runs them all."""
