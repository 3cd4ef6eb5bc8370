"""What is kept on disk: the results of tasks, and the digests of their samples."""
