"""Database migrations, newest last."""
