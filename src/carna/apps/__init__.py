"""Applications: each picks inputs, calls an engine and speaks findings. One file each."""
