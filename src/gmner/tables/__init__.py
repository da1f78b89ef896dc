"""Tables 1 to 3 and Figure 3: the paper's printed numbers and the measured ones, never mixed up."""
