"""Sluice: TensorDicts between the processes of an RL post-training job."""
