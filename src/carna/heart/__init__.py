"""The heart as a whole: anatomy, coordinates, fibres, segments, scar and sites, for every engine.

Start at `carna.heart.ventricles.ventricles`; nothing is imported here: the room costs nothing to enter.
"""
