"""Who may do what: values and decisions, no input or output."""
