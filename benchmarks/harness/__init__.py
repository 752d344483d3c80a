"""What the benchmarks share: compiled helpers, the peers under test, and the reading of their cost from /proc."""
