"""Carna."""
