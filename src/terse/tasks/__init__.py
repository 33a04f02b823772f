"""What depends on the task: its metrics, how a model is measured, what its answers look like, the arms of a proof."""
