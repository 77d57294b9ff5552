"""Tissue: the monodomain equation on masked voxel grids, from a cable to a whole heart."""
