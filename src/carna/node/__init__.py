"""A station: what receives, runs, keeps and sends back. The smallest one is a folder."""
