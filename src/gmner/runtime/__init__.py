"""What a process meets: signals, progress, the machine's faults."""
