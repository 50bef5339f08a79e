"""SegVol in PyTorch, small enough to train on a CPU, with what its training needs."""
