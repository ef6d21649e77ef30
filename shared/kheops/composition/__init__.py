"""The parts of a process, each made when it is first used: what a service does not use, it does not import."""
