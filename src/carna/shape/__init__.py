"""Shapes of organs: repaired by composition, measured against an atlas, fitted to slices as closed surfaces.

Start at `carna.shape.surface.beating_heart`; nothing is imported here: the room costs nothing to enter.
Arrays in, arrays out; lengths in millimetres. Shapes that are compared have one number of vertices, in one
order: vertex v means the same place in all of them.
"""
