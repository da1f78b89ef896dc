"""The table of stages, the plan of a configuration, fingerprints of code, killed runs."""

RESULT_NEUTRAL = True  # decides what is done again, and so never what comes out
