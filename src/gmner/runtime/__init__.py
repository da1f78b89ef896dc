"""What a process meets: signals, progress, the machine's faults."""

RESULT_NEUTRAL = True  # signals, progress and the words of errors
